"""DICOM files to grey pixels."""
