"""Compressed content comes out as it went in, in bounded blocks, however it is cut up; and what is wrong with it is said."""

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from hashlib import shake_128

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slacktide.compression import (
    BLOCK,
    GZIP,
    RATIO_FROM,
    SLICE,
    WINDOW_LOG,
    ZSTANDARD,
    Compression,
    Decompression,
    Limits,
    compression_in,
    compression_of,
    whole_lines,
    zstd,
)

PARAMETER = zstd.CompressionParameter
SKIPPED = b"\x5e*M\x18\x05\0\0\0hello"  # a frame to skip, RFC 8878 3.1.2


def pack_zstd(content: bytes) -> bytes:
    """As zstd(1) does, with a checksum."""
    return zstd.compress(content, options={PARAMETER.checksum_flag: 1})


PACKERS: dict[Compression, Callable[[bytes], bytes]] = {GZIP: gzip.compress, ZSTANDARD: pack_zstd}
BOTH = pytest.mark.parametrize("compression", PACKERS, ids=lambda compression: compression.name)
WORDS = shake_128(b"words").hexdigest(60_000).encode()  # hardly to be compressed


def blocks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def unpack(packed: bytes, compression: Compression, size: int = 65_536, limits: Limits | None = None) -> tuple[bytes, str | None]:
    """What came out, and the problem."""
    decompression = Decompression(blocks_of(packed, size), compression, limits or Limits())
    content = b"".join(decompression)
    return content, decompression.problem


@BOTH
@given(data=st.data())
def test_any_content_in_any_pieces_comes_out_as_it_went_in(compression: Compression, data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.binary(max_size=300).map(lambda piece: piece * 1_000) | st.binary(), max_size=5))
    packed = b"".join(PACKERS[compression](piece) for piece in pieces)
    size = data.draw(st.sampled_from([1, 7, 1_000, SLICE - 1, SLICE, 65_536]))
    blocks = list(decompression := Decompression(blocks_of(packed, size), compression))
    assert b"".join(blocks) == b"".join(pieces)
    assert decompression.problem is None
    assert all(0 < len(block) <= BLOCK for block in blocks)


@BOTH
@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 50 * BLOCK])
def test_content_of_whole_blocks(compression: Compression, length: int) -> None:
    for content in (b"x" * length, (WORDS * 40)[:length]):
        assert unpack(PACKERS[compression](content) * 2, compression) == (content * 2, None)


@BOTH
def test_a_piece_may_end_where_a_slice_ends(compression: Compression) -> None:
    for lost in range(40):
        first = PACKERS[compression](WORDS[: SLICE * 2 - lost])
        assert unpack(first + PACKERS[compression](b"end"), compression) == (WORDS[: SLICE * 2 - lost] + b"end", None)


@BOTH
def test_a_file_cut_off_anywhere_is_noticed(compression: Compression) -> None:
    first, second = (PACKERS[compression](json.dumps({"line": n, "text": "word " * n}).encode() + b"\n") for n in (5, 9))
    whole, _ = unpack(first + second, compression)
    for cut in range(len(first + second)):
        content, problem = unpack((first + second)[:cut], compression, size=11)
        assert whole.startswith(content)
        if cut in {0, len(first)}:  # between two pieces a file may end
            assert problem is None
        else:
            assert f"ends in the middle, after byte {cut}. " in str(problem)


@BOTH
def test_no_changed_byte_passes_for_another_content(compression: Compression) -> None:
    content = WORDS[:200]
    packed = PACKERS[compression](content)
    seen: set[str] = set()
    for place in range(len(packed)):
        for bit in (0x01, 0x80):
            changed = bytearray(packed)
            changed[place] ^= bit
            got, problem = unpack(bytes(changed), compression)
            assert problem is not None or got == content  # gzip's header has bytes that mean nothing, such as its time
            seen.add(str(problem).partition(". ")[0])
    assert f"The {compression.name} content is damaged before byte {len(packed) + 1}" in seen


@BOTH
def test_a_damage_is_the_same_whatever_the_blocks(compression: Compression) -> None:
    packed = bytearray(PACKERS[compression](WORDS))
    packed[SLICE * 2 + 5 : SLICE * 2 + 900] = bytes(895)
    results = {unpack(bytes(packed), compression, size) for size in (1_000, SLICE, 65_536, 1 << 20)}
    ((content, problem),) = results
    assert content[:SLICE] == WORDS[:SLICE], "behind the damage deflate may go on for a while, until its check sum"
    assert f"The {compression.name} content is damaged before byte" in str(problem)


@BOTH
@pytest.mark.parametrize("rest", [b"rubbish", b"\n", b"{}", b"\0\0x"])
def test_something_else_behind_the_content_is_refused_with_its_place(compression: Compression, rest: bytes) -> None:
    packed = PACKERS[compression](b"content\n")
    content, problem = unpack(packed + rest, compression)
    assert content == b"content\n"
    place = len(packed) + (3 if rest == b"\0\0x" and compression is GZIP else 1)
    assert f"is followed by something else from byte {place} on. Compress the file again" in str(problem)


def test_zeros_behind_gzip_are_padding() -> None:
    packed = gzip.compress(b"one\n") + bytes(SLICE * 2) + gzip.compress(b"two\n") + bytes(512)
    assert unpack(packed, GZIP) == (b"one\ntwo\n", None)


@pytest.mark.parametrize("place", ["front", "middle", "end"])
def test_frames_to_skip_are_skipped(place: str) -> None:
    one, two = pack_zstd(b"one\n"), pack_zstd(b"two\n")
    packed = {"front": SKIPPED + one + two, "middle": one + SKIPPED + two, "end": one + two + SKIPPED}[place]
    assert unpack(packed, ZSTANDARD, size=3) == (b"one\ntwo\n", None)
    assert compression_in(packed) is ZSTANDARD


def test_the_largest_window_of_zstd_without_long_is_read_and_a_larger_one_refused() -> None:
    for log in (WINDOW_LOG, WINDOW_LOG + 1):
        compressor = zstd.ZstdCompressor(options={PARAMETER.window_log: log})
        packed = compressor.compress(b"content\n") + compressor.flush()
        content, problem = unpack(packed, ZSTANDARD)
        if log == WINDOW_LOG:
            assert (content, problem) == (b"content\n", None)
        else:
            assert content == b""
            assert "needs a window above 128 MiB. Compress it with --long=27 at most" in str(problem)


def test_a_missing_dictionary_is_named() -> None:
    dictionary = zstd.train_dict([json.dumps({"n": n, "text": f"a text {n * 7}"}).encode() for n in range(2_000)], 1_000)
    content, problem = unpack(zstd.compress(b'{"n": 1, "text": "a text 7"}', zstd_dict=dictionary), ZSTANDARD)
    assert content == b""
    assert "needs a dictionary" in str(problem)


class TestLimits:
    @BOTH
    def test_the_size_is_that_of_what_comes_out(self, compression: Compression) -> None:
        packed = PACKERS[compression](WORDS)
        assert unpack(packed, compression, limits=Limits(largest=len(WORDS))) == (WORDS, None)
        content, problem = unpack(packed, compression, limits=Limits(largest=len(WORDS) - 1))
        assert len(content) < len(WORDS)
        assert f"more than {len(WORDS) - 1} bytes" in str(problem)
        assert "Split the file." in str(problem)

    @BOTH
    def test_a_bomb_ends_early(self, compression: Compression) -> None:
        content, problem = unpack(PACKERS[compression](bytes(4 * RATIO_FROM)), compression, limits=Limits(ratio=500))
        assert RATIO_FROM - BLOCK < len(content) < RATIO_FROM + BLOCK
        assert "more than 500 times as large (LargestInputRatio)" in str(problem)

    @BOTH
    def test_a_short_file_may_have_any_ratio(self, compression: Compression) -> None:
        assert unpack(PACKERS[compression](bytes(RATIO_FROM)), compression, limits=Limits(ratio=2)) == (bytes(RATIO_FROM), None)

    def test_requests_with_one_long_prompt_in_common_are_no_bomb(self) -> None:
        prompt = WORDS[:80_000].decode()
        lines = [json.dumps({"custom_id": f"r{n}", "system": prompt, "user": WORDS[n : n + 50].decode()}) for n in range(400)]
        content = "\n".join(lines).encode()
        packed = pack_zstd(content)
        assert len(content) > max(RATIO_FROM, 200 * len(packed))
        assert unpack(packed, ZSTANDARD) == (content, None)


BOMB = """
import resource, sys, zlib
from slacktide.compression import GZIP, ZSTANDARD, Decompression, Limits, whole_lines, zstd
kind, unit, lines = sys.argv[1:]
content = unit.encode().decode("unicode_escape").encode() * 1_000_000
compressor = zlib.compressobj(wbits=31, level=1) if kind == "gzip" else zstd.ZstdCompressor()
packed = b"".join(compressor.compress(content) for _ in range(200_000_000 // len(content))) + compressor.flush()
compression = GZIP if kind == "gzip" else ZSTANDARD
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
decompression = Decompression([packed], compression, Limits(ratio=10**9))
content = whole_lines(decompression, decompression) if lines == "lines" else decompression
assert sum(map(len, content)) == 200_000_000, decompression.problem
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize(("unit", "lines", "megabytes"), [("x", "no", 8), (r"x\n", "lines", 8), ("x", "lines", 32)])
def test_memory_is_flat_whatever_comes_out(kind: str, unit: str, lines: str, megabytes: int) -> None:
    """200 MB out of some 100 KB; the longest line is held once, and once more to be joined."""
    done = subprocess.run([sys.executable, "-c", BOMB, kind, unit, lines], check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < megabytes * 1_024


class TestWholeLines:
    @given(content=st.binary(max_size=400).map(lambda content: content.replace(b"a", b"\n")), cut=st.integers(0, 400))
    def test_the_line_in_which_the_damage_is_is_left_away(self, content: bytes, cut: int) -> None:
        packed = gzip.compress(content)
        decompression = Decompression([packed[:cut]], GZIP)
        got = b"".join(whole_lines(decompression, decompression))
        assert content.startswith(got)
        if decompression.problem is None:
            assert got in {content, b""}
        else:
            assert got == b"" or got.endswith(b"\n")

    def test_lines_before_a_damage_are_kept(self) -> None:
        text = b"".join(WORDS[n : n + 99] + b"\n" for n in range(3_000))
        packed = gzip.compress(text)
        decompression = Decompression([packed[:-9]], GZIP)
        assert b"".join(whole_lines(decompression, decompression)) == text
        packed = packed[: len(packed) // 2]
        decompression = Decompression([packed], GZIP)
        blocks = list(whole_lines(decompression, decompression))
        assert all(block.endswith(b"\n") for block in blocks)
        assert 0 < len(b"".join(blocks)) < len(text)
        assert zlib.decompressobj(31).decompress(packed).startswith(b"".join(blocks))


def test_the_name_tells_the_compression() -> None:
    assert compression_of("a.jsonl.gz") is GZIP
    assert compression_of("a.jsonl.zst") is ZSTANDARD
    assert compression_of("gz.jsonl") is None
