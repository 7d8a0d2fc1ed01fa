"""Who a device says it is: FC 43/14 and FC 17, against devices that tell the truth and devices that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus.exceptions import exception_of, exception_text
from collectors.modbus.identification import (
    REPORT_SERVER_ID,
    IdentityRefused,
    Page,
    decode_page,
    decode_server_id,
    device_objects,
    identity_items,
)

Device = Callable[[int, int], bytes]  # read code and object to an answer

BASIC = {0: b"Company identification", 1: b"Product code XX", 2: b"V2.11"}  # as in the example of V1.1b3, 6.21
REGULAR = BASIC | {3: b"https://acme.example", 5: b"P-1"}
EXTENDED = REGULAR | {0x80: b"SN-1", 0x81: b"B"}
PRIVATE = {0x80: b"SN-1", 0x81: b"B"}


def page(level: int, objects: Mapping[int, bytes], following: int = 0, count: int | None = None) -> bytes:
    """An answer to FC 43/14, as the specification has it; `level` is the conformity of the device."""
    more = 0xFF if following else 0
    head = [0x2B, 14, level, 0x80 | level, more, following, len(objects) if count is None else count]
    return bytes(head) + b"".join(bytes([number, len(value)]) + value for number, value in objects.items())


def refusal(code: int) -> bytes:
    return bytes([0x80 | 0x2B, code])


def device(level: int, objects: Mapping[int, bytes], at_once: int = 99, refuses: Mapping[int, int] = {}) -> Device:
    """A device of a conformity level that sends so many objects at once; `refuses` are exceptions by read code."""

    def answer(read_code: int, first: int) -> bytes:
        if read_code in refuses:
            return refusal(refuses[read_code])
        last = {1: 2, 2: 0x7F, 3: 0xFF}[min(read_code, level)]
        offered = [number for number in objects if first <= number <= last]
        following = offered[at_once] if len(offered) > at_once else 0
        return page(level, {number: objects[number] for number in offered[:at_once]}, following)

    return answer


def ask(device: Device) -> tuple[dict[int, bytes], list[tuple[int, int]]]:
    """What `device_objects` learns of a device, and what it asked for: read code and object."""
    asking, asked = device_objects(), list[tuple[int, int]]()
    try:
        request = next(asking)
        while True:
            function, mei, read_code, first = request
            assert (function, mei) == (0x2B, 14)
            asked.append((read_code, first))
            assert len(asked) <= 3 * 256
            request = asking.send(device(read_code, first))
    except StopIteration as done:
        return done.value, asked


@pytest.mark.parametrize(
    ("device", "objects", "asked"),
    [
        pytest.param(device(1, BASIC), BASIC, [(3, 0)], id="basic"),
        pytest.param(device(2, REGULAR), REGULAR, [(3, 0)], id="regular"),
        pytest.param(device(3, EXTENDED), EXTENDED, [(3, 0)], id="extended"),
        pytest.param(device(3, EXTENDED, at_once=2), EXTENDED, [(3, 0), (3, 2), (3, 5), (3, 0x81)], id="more-follows"),
        pytest.param(device(1, BASIC, refuses={3: 3}), BASIC, [(3, 0), (2, 0)], id="refuses-extended"),
        pytest.param(
            device(1, BASIC, refuses={3: 3, 2: 3}), BASIC, [(3, 0), (2, 0), (1, 0)], id="refuses-all-but-basic"
        ),
        pytest.param(device(1, {}, refuses={3: 2, 2: 2, 1: 2}), {}, [(3, 0), (2, 0), (1, 0)], id="refuses-every-level"),
        pytest.param(device(1, BASIC, refuses={3: 1}), {}, [(3, 0)], id="does-not-know-the-function"),
        pytest.param(
            lambda read_code, first: page(3, PRIVATE if read_code == 3 else REGULAR),
            REGULAR | PRIVATE,
            [(3, 0), (2, 0)],
            id="extended-is-private-alone",
        ),
        pytest.param(
            lambda read_code, first: page(3, {3: PRIVATE, 2: {3: b"url"}, 1: BASIC}[read_code]),
            BASIC | {3: b"url"} | PRIVATE,
            [(3, 0), (2, 0), (1, 0)],
            id="every-level-is-its-own-objects-alone",
        ),
        pytest.param(device(3, {0: b"", 1: b"", 2: b""}), {0: b"", 1: b"", 2: b""}, [(3, 0)], id="empty-values"),
    ],
)
def test_all_that_a_device_offers_is_asked_for(
    device: Device, objects: dict[int, bytes], asked: list[tuple[int, int]]
) -> None:
    assert ask(device) == (objects, asked)


@pytest.mark.parametrize("code", [4, 5, 6, 8, 10, 11])
@pytest.mark.parametrize("after", [0, 1])
def test_a_device_that_will_not_say_it_now_is_not_taken_for_one_that_says_nothing(code: int, after: int) -> None:
    answers = iter([page(3, BASIC, following=3)] * after + [refusal(code)])
    with pytest.raises(IdentityRefused) as caught:
        ask(lambda read_code, first: next(answers))
    assert caught.value.code == code


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_refusal_of_what_was_said_to_follow_is_not_the_end_of_an_identity(code: int) -> None:
    """Else what the device has beyond would look as if it had been removed."""
    whole = device(3, EXTENDED, at_once=3)
    with pytest.raises((IdentityRefused, ValueError)):
        ask(lambda read_code, first: whole(read_code, first) if first == 0 else refusal(code))


@pytest.mark.parametrize("following", [1, 2, 5])
def test_a_device_that_goes_round_in_circles_is_found(following: int) -> None:
    def circles(read_code: int, first: int) -> bytes:
        return page(3, {first: b"x"}, following=5 if first == 0 else following)

    with pytest.raises(ValueError, match=f"object {following} is said to follow object 5"):
        ask(circles)


def test_a_device_that_never_ends_is_asked_at_most_once_for_each_object() -> None:
    objects, asked = ask(lambda read_code, first: page(3, {first: b"x"}, following=first + 1 if first < 255 else 0))
    assert (len(objects), len(asked)) == (256, 256)


A_PAGE = page(3, {0: b"ACME", 1: b"P-1"})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x2b", id="function-alone"),
        pytest.param(A_PAGE[:6], id="head-cut"),
        pytest.param(A_PAGE[:-1], id="value-cut"),
        pytest.param(A_PAGE[:8], id="object-without-length"),
        pytest.param(A_PAGE + b"\x00", id="one-byte-more"),
        pytest.param(A_PAGE + b"\x05\x09abc", id="one-object-more-and-cut"),
        pytest.param(page(3, {0: b"ACME"}, count=2), id="counts-one-too-many"),
        pytest.param(page(3, {0: b"ACME", 1: b"P"}, count=1), id="counts-one-too-few"),
        pytest.param(page(3, {0: b"ACME"}, count=2) + b"\x00\x04ACME", id="an-object-twice"),
        pytest.param(b"\x2b\x0d" + A_PAGE[2:], id="another-interface"),
    ],
)
def test_an_identification_whose_lengths_lie_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError):
        decode_page(answer)


def test_the_longest_page_that_fits_a_pdu() -> None:
    value = bytes(253 - 7 - 2)
    assert len(page(3, {0: value})) == 253
    assert decode_page(page(3, {0: value})) == Page(((0, value),), None)


@given(
    st.dictionaries(st.integers(0, 255), st.binary(max_size=20), max_size=10),
    st.sampled_from([1, 2, 3]),
    st.integers(0, 255),
)
def test_a_page_is_read_as_it_was_written(objects: dict[int, bytes], level: int, following: int) -> None:
    assert decode_page(page(level, objects, following)) == Page(tuple(objects.items()), following or None)


ALMOST = st.tuples(st.sampled_from([A_PAGE, page(3, EXTENDED)]), st.integers(0, 40), st.integers(0, 255)).map(
    lambda made: made[0][: made[1]] + bytes([made[2]]) + made[0][made[1] + 1 :]
)


@given(st.binary(max_size=260) | ALMOST | st.binary(max_size=20).map(lambda tail: A_PAGE[:6] + tail))
def test_bytes_that_are_no_page_are_a_value_error_and_nothing_else(answer: bytes) -> None:
    try:
        read = decode_page(answer)
    except ValueError:
        return
    assert sum(2 + len(value) for _, value in read.objects) == len(answer) - 7
    assert len({number for number, _ in read.objects}) == len(read.objects) == answer[6]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"\x11\x05ACME\xff", "ACME"),
        (b"\x11\x05ACME\x00", "ACME"),
        (b"\x11\x01\xff", ""),
        (b"\x11\x04\x02\x01\x07\xff", b"\x02\x01\x07\xff"),  # a number before the text: all of it, as bytes
        (b"\x11\x05ACMEX", b"ACMEX"),  # no run indicator at its end
        (b"\x11\x03\xc3\xbc\xff", b"\xc3\xbc\xff"),
    ],
)
def test_server_id(answer: bytes, expected: str | bytes) -> None:
    assert decode_server_id(answer) == (expected if isinstance(expected, str) else answer[2:])


@pytest.mark.parametrize("answer", [b"", b"\x11", b"\x11\x00", b"\x11\x05ACM\xff", b"\x11\x04ACME\xff", b"\x11\xffA"])
def test_a_server_id_whose_length_lies_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="a server id whose length lies"):
        decode_server_id(answer)


@given(st.binary(max_size=260) | st.binary(max_size=20).map(lambda tail: bytes([0x11, len(tail)]) + tail))
def test_bytes_that_are_no_server_id_are_a_value_error_and_nothing_else(answer: bytes) -> None:
    try:
        said = decode_server_id(answer)
    except ValueError:
        return
    assert answer[1] == len(answer) - 2 >= 1
    assert said == (answer[2:-1].decode("ascii") if isinstance(said, str) else answer[2:])


def test_objects_become_items_under_the_names_of_the_specification_and_of_the_profile() -> None:
    objects = dict(enumerate([b"ACME", b"P-1", b"2.9", b"url", b"name", b"model", b"app", b"seven"])) | PRIVATE
    items = {item.key: item for item in identity_items(tuple(objects.items()), (("serial_number", "object_128"),))}
    assert {key: item.value for key, item in items.items()} == {
        "identity.manufacturer": "ACME",
        "identity.product_code": "P-1",
        "identity.software_revision": "2.9",
        "identity.vendor_url": "url",
        "identity.product_name": "name",
        "identity.model": "model",
        "identity.user_application_name": "app",
        "identity.object_7": "seven",
        "identity.serial_number": "SN-1",
        "identity.object_129": "B",
    }
    assert items["identity.software_revision"].category == "firmware"
    assert items["identity.serial_number"].severity == "high"


@pytest.mark.parametrize(
    ("raw", "text"), [(b"ACME  \0\0", "ACME"), (b" A ", " A"), (b"\xff", "\\xff"), ("ü".encode(), "ü"), (b"", "")]
)
def test_what_pads_a_value_is_no_part_of_it(raw: bytes, text: str) -> None:
    (item,) = identity_items(((0, raw),), ())
    assert item.value == text


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (b"\x83\x02", 2, "exception 2 (illegal data address)"),
        (b"\xab\x06", 6, "exception 6 (device busy)"),
        (b"\x83\x63", 99, "exception 99 (not in the specification)"),
        (b"\x03\x02\x00\x01", 0, "exception 0 (not in the specification)"),
    ],
)
def test_exceptions_in_words(answer: bytes, code: int, text: str) -> None:
    assert exception_of(answer) == code
    assert exception_text(code) == text


def test_the_request_for_a_server_id_is_function_17_alone() -> None:
    assert bytes([17]) == REPORT_SERVER_ID
