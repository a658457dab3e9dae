"""What files are, by their names: images, what cameras and editors put beside them, leftovers.

All names are in lower case.
"""

IMAGE_SUFFIXES = (  # of the formats that `opening` reads
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heics", ".heif", ".heifs"),
    *(".hif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx"),
    *(".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
HEIC_SUFFIXES = (".heic", ".heif")
RAW_SUFFIXES = (  # of camera raw files, which are refused
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2"),
    *(".srf", ".srw", ".x3f"),
)
SIDECAR_SUFFIXES = (  # of files that cameras, editors and annotation tools put beside an image
    *(".aae", ".csv", ".db", ".htm", ".html", ".ini", ".json", ".md", ".thm", ".txt", ".url"),
    *(".xml", ".xmp", ".yaml", ".yml"),
)
SYSTEM_NAMES = (  # folders and files that a NAS, macOS or Windows makes
    *("@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "thumbs.db"),
    "system volume information",
)
