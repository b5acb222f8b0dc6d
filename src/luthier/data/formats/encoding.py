"""From bytes to text: which encoding a file has, and which files are no data at all."""

from __future__ import annotations

import re

from luthier.core.errors import BadRow, DataError

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_STRAY_SHARE = 0.01
"""A text may hold so many control characters; the rows with a zero byte are reported one by one."""
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le", "UTF-32"),
    (b"\x00\x00\xfe\xff", "utf-32-be", "UTF-32"),
    (b"\xef\xbb\xbf", "utf-8", "UTF-8 with BOM"),
    (b"\xff\xfe", "utf-16-le", "UTF-16"),
    (b"\xfe\xff", "utf-16-be", "UTF-16"),
)

_EXPORT = "Export the table as CSV, JSON Lines or Parquet"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/",
     "a Git LFS pointer, not the data itself. Run 'git lfs pull' in its repository, then try again."),
    (b"PK\x03\x04", f"a zip archive or an Excel workbook. {_EXPORT}, or unpack it."),
    (b"\xd0\xcf\x11\xe0", f"an old Excel or Office file. {_EXPORT}."),
    (b"\x1f\x8b", "compressed with gzip. Unpack it first: gunzip FILE."),
    (b"BZh", "compressed with bzip2. Unpack it first: bunzip2 FILE."),
    (b"\xfd7zXZ\x00", "compressed with xz. Unpack it first: unxz FILE."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd. Unpack it first: unzstd FILE."),
    (b"%PDF-", "a PDF. Extract its text into a table first."),
    (b"\x93NUMPY", f"a NumPy array. {_EXPORT}."),
    (b"SQLite format 3\x00", f"an SQLite database. {_EXPORT}."),
    (b"\x89HDF\r\n", f"an HDF5 file. {_EXPORT}."),
    (b"ARROW1", "an Arrow file. Write the table as Parquet."),
)  # fmt: skip
# Protocols 2 to 5 start with 0x80 and their number; the old text protocol starts a list or dict at the stack's mark.
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|[}\]\(cX\x8c])|\(([ld])p\d+\r?\n")
_WEB_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def refuse_what_is_no_data(path: object, data: bytes) -> None:
    """Stop at files that are empty or of a kind that holds no rows.

    Raises:
        DataError: one sentence that says what the file is and what to do.
    """
    if not data.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
        raise DataError(
            f"{path} is empty. A data file has at least a header and a row, or one JSON object. "
            "Fill it, or give another."
        )
    for signature, explanation in _SIGNATURES:
        if data.startswith(signature):
            raise DataError(f"{path} is {explanation}")
    if _PICKLE.match(data[:64]):
        raise DataError(f"{path} is a pickle, which can run code when it is opened, so it is not read. {_EXPORT}.")
    if _WEB_PAGE.match(data[:4096].removeprefix(b"\xef\xbb\xbf")):
        raise DataError(
            f"{path} is an HTML page, not data: a download often saves a login or error page instead of the file. "
            "Open it in a browser to see which, and download the raw file."
        )


def decode(path: object, data: bytes) -> tuple[str, str]:
    """Return the text without byte order mark, and the name of its encoding.

    A file that is UTF-8 but for a few bytes stays UTF-8: the wrong bytes are kept as lone surrogates, and the rows
    that hold them are reported one by one. Reading it as Windows-1252 would garble every right character instead.

    Raises:
        DataError: if it is binary, or in none of UTF-8, UTF-16 and Windows-1252.
    """
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            return _strictly(path, data[len(mark) :], codec, name), name
    if unmarked := _utf16_without_mark(data):
        return _strictly(path, data, unmarked, "UTF-16"), "UTF-16 without BOM"
    if b"\x00" in data and len(_CONTROL.findall(data)) > _STRAY_SHARE * len(data):
        raise DataError(f"{path} is a binary file of an unknown kind. {_EXPORT}.")
    text = data.decode("utf-8", "surrogateescape")
    wrong = len(_ESCAPED_BYTE.findall(text))
    if wrong == 0 or wrong < len(_BEYOND_ASCII.findall(text)):
        return text, "UTF-8"
    return _strictly(path, data, "cp1252", "UTF-8, UTF-16 or Windows-1252"), "Windows-1252"


def decode_beginning(path: object, data: bytes) -> tuple[str, str]:
    """As `decode`, for the beginning of a file that is read piece by piece, which has to be UTF-8.

    Raises:
        DataError: if it is binary, or in another encoding.
    """
    mark = next((mark for mark in _MARKS if data.startswith(mark[0])), None)
    wide = mark[2] if mark and mark[1] != "utf-8" else "UTF-16" if _utf16_without_mark(data) else None
    text, name = ("", wide) if wide else decode(path, data)
    if not name.startswith("UTF-8"):
        raise DataError(
            f"{path} is in {name}. Files that are read piece by piece have to be UTF-8. Convert it, for example with: "
            f"iconv -f {name.replace('Windows-1252', 'CP1252')} -t UTF-8 FILE > NEW_FILE."
        )
    return text, name


def decode_piece(data: bytes) -> str:
    """Return the text of a later piece; bytes that are no UTF-8 are kept as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _strictly(path: object, data: bytes, codec: str, name: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        cut = error.reason == "truncated data"
        wrong = f"byte 0x{data[error.start]:02x} is not valid {name}"
        problem = "the file is cut off in the middle of a character" if cut else wrong
        fix = "copy or download it again" if cut else "save it as UTF-8"
        raise DataError(str(BadRow(str(path), line, problem, f"text in {name}", fix))) from None


def _utf16_without_mark(data: bytes) -> str | None:
    """Return the codec if every second byte is mostly zero, as in UTF-16 text of Latin letters."""
    head = data[:4096]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None
