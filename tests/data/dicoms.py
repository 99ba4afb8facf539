"""A DICOM file made for a test."""

from io import BytesIO

import numpy as np


def slice_of_ct(stored=None, **changes):
    """Return the bytes of a CT slice of two rows and three columns; None leaves an element out."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    pixels = np.array([[0, 1, 2], [1024, 2000, 4095]], np.uint16) if stored is None else stored
    header = Dataset()
    header.file_meta = FileMetaDataset()
    syntax = changes.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    elements = {
        "Modality": "CT",
        "PatientID": "TCGA-00",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.7, 0.8],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    for name, value in (elements | changes).items():
        if value is not None:
            setattr(header, name, value)
    if changes.get("PixelData", b"") is not None:
        data = changes.get("PixelData", pixels.tobytes())
        header.PixelData = pydicom.encaps.encapsulate([data]) if syntax.is_compressed else data
        header["PixelData"].VR = "OB" if syntax.is_compressed else "OW"
    stream = BytesIO()
    pydicom.dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()
