"""The kit for people: a sheet as text, and one to print. Everything in them is data, shown and never obeyed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from textwrap import wrap
from typing import Any

from monitor.kit import NEW_SERIAL, Document, address_cell, raw_parts, type_cell, value_cell
from monitor.show import value_text
from monitor.terminal import size_text

WIDTH = 100  # columns of the text
FOOT_STYLE = 'font: 8pt "Segoe UI", Arial, "Liberation Sans"; color: #5a6875;'
NARROW = 38  # letters that a column of facts holds
SHORT = 5  # rows of a table that no page should divide
GROUPS = {  # category: heading, and what to do
    "identity": ("Identity", "It comes with the device. Compare it, and enter nothing."),
    "firmware": ("Firmware", "It comes with the firmware file. Load that, then compare; enter nothing."),
    "program": ("Program", "It comes with the project file. Load that, then compare; enter nothing."),
    "parameter": ("Parameters", "Enter each, in this order."),
    "network": ("Network", "Enter each after the parameters."),
    "mode": ("Mode", "Only when all of the above is right: the device may refuse changes from here on."),
    "security": ("Write protection and security", "Last."),
}
NEVER = (
    "asbuilt never writes to a device: a person enters all of this with the maker's own tool, and asbuilt checks it."
)
SERIAL = "may differ: like for like"
FIELDS = {
    "manufacturer": "Manufacturer",
    "product_code": "Product code",
    "model": "Model",
    "hardware_revision": "Hardware revision",
    "software_revision": "Firmware",
    "serial_number": "Serial number",
}


def facts(kit: Document) -> list[tuple[str, str]]:
    """What asset and which baseline it is about."""
    asset, baseline = kit["asset"], kit["baseline"]
    level = "" if asset["purdue_level"] is None else f"{asset['purdue_level']:g}"
    said = [
        ("Plant", kit["plant"]),
        ("Zone", asset["zone"]),
        ("Location", asset["location"]),
        ("Machine", asset["machine_type"]),
        ("Role", asset["role"]),
        ("Address", asset["address"]),
        ("Purdue level", level),
        ("Criticality", asset["criticality"]),
        ("Baseline", baseline["digest"]),
        ("Stage", baseline["stage"]),
        ("Proposed", _by(baseline["proposed_by"], baseline["proposed_at"])),
        ("Approved", _by(baseline["approved_by"], baseline["approved_at"])),
        ("Reason", baseline["reason"]),
        ("Ticket", baseline["ticket"]),
        ("Imported, signed by", baseline["origin"] or ""),
        *(
            (f"Signed off as {word['role']}", _by(word["by"], word["at"]))
            for word in baseline["signed"]
            if word["role"]
        ),
    ]
    return [(name, value_text(value)) for name, value in said if value]


def _by(name: str, at: str) -> str:
    """Who and when, to the minute: "Ada, 2026-11-25 20:55 UTC"."""
    return f"{name}, {at[:10]} {at[11:16]} UTC"


def identity_rows(kit: Document) -> list[tuple[str, str, str]]:
    """Field, value and remark of each identity value."""
    return [
        (
            FIELDS[row["field"]],
            "not reported" if row["value"] is None else value_text(row["value"]),
            SERIAL if row["may_differ"] else "",
        )
        for row in kit["identity"]
    ]


def file_remark(row: Mapping[str, Any]) -> str:
    """What is to be known of a file beside its name."""
    missing = "" if row["path"] else f"{str(row['state']).upper()} in the vault: not in this kit"
    return "; ".join(each for each in (missing, row["note"]) if each)


def verdict_text(row: Mapping[str, Any]) -> str:
    """What a verdict means."""
    return f"{row['verdict']}: {row['means']}" if row["verdict"] else str(row["means"])


def groups(kit: Document) -> list[tuple[str, str, list[Document]]]:
    """Heading, what to do, and the items of each category, in order."""
    return [
        (*GROUPS[category], list(rows)) for category, rows in groupby(kit["parameters"], lambda row: row["category"])
    ]


def text_sheet(kit: Document) -> str:
    """kit.txt."""
    lines = [f"RESTORE KIT  {value_text(kit['asset']['name'])}", "=" * WIDTH, *wrap(NEVER, WIDTH), ""]
    for gap in kit["gaps"]:
        lines += [f"!! {value_text(gap)}", ""]
    lines += _pairs(facts(kit))
    lines += _heading("Identity to fit")
    lines += _pairs(
        [(name, f"{value}   ({mark})" if mark else value) for name, value, mark in identity_rows(kit)], "[ ] "
    )
    lines += _heading("Files")
    for row in kit["files"]:
        shown = row["path"] or row["name"]
        lines += [f"[ ] {value_text(shown)}  ({row['kind']}, {size_text(row['size'])})", f"      {row['sha256']}"]
        lines += [f"      {line}" for line in wrap(file_remark(row), WIDTH - 6)]
    if not kit["files"]:
        lines.append("none is attached to this baseline (asbuilt vault add)")
    for row in kit["left_out"]:
        lines += wrap(f"not in this kit: {value_text(row['name'])} ({row['kind']}): {row['why']}", WIDTH)
    if kit["profile"]["note"]:
        lines += ["", *wrap(f"!! {kit['profile']['note']}", WIDTH)]
    for heading, todo, rows in groups(kit):
        lines += [*_heading(heading), todo, ""]
        for row in rows:
            lines += _item_lines(row)
    lines += _rest(kit)
    lines += _heading("Checks")
    for row in kit["checks"]:
        lines += [f"[ ] {value_text(row['do'])}", f"      {row['expect']}"]
    lines += ["", "What asbuilt check may say:"]
    lines += [f"  exit code {row['exit_code']}  {verdict_text(row)}" for row in kit["verdicts"]]
    lines += ["", *wrap(NEW_SERIAL, WIDTH)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _heading(text: str) -> list[str]:
    return ["", text.upper(), "-" * len(text)]


def _pairs(rows: Sequence[tuple[str, str]], mark: str = "") -> list[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{mark}{name:<{width}}  {value}" for name, value in rows]


def _item_lines(row: Document) -> list[str]:
    box = "[ ] " if row["enter"] else "  = "
    lines = [f"{box}{value_text(row['item'])} = {value_cell(row)}"]
    raw = " ".join(raw_parts(row)) if row["words"] else ", ".join(raw_parts(row))
    lines.append(f"      {address_cell(row)}, {type_cell(row)}" + (f":  {raw}" if raw else ""))
    return lines + [
        f"      {line}" for text in (row["about"], row["note"]) for line in wrap(value_text(text), WIDTH - 6) if text
    ]


def _rest(kit: Document) -> list[str]:
    lines = []
    if kit["not_covered"]:
        lines += [*_heading("Not covered: see to it yourself"), ""]
        lines += [
            f"[ ] {value_text(row['item'])} ({row['kind']}): {value_text(row['why'])}" for row in kit["not_covered"]
        ]
    if kit["reported"]:
        lines += [*_heading("Reported by the device itself"), "Nothing to enter; the check compares it.", ""]
        lines += [f"  = {value_text(row['item'])} = {value_cell(row)}" for row in kit["reported"]]
    return lines


def html_sheet(kit: Document) -> str:
    """KIT.html: self-contained, without script, made to be printed on A4."""
    title = f"Restore kit {value_text(kit['asset']['name'])}"
    parts = [
        f"<header><p class=kicker>Restore kit</p><h1>{_safe(kit['asset']['name'])}</h1>"
        f"<p class=never>{escape(NEVER)}</p></header>",
        *(f"<p class=alarm>{_safe(gap)}</p>" for gap in kit["gaps"]),
        _facts_html(kit),
        _identity_html(kit),
        _files_html(kit),
        f"<p class=alarm>{escape(kit['profile']['note'])}</p>" if kit["profile"]["note"] else "",
        *(_group_html(*group) for group in groups(kit)),
        _not_covered_html(kit),
        _reported_html(kit),
        _checks_html(kit),
        _signature_html(),
    ]
    style = (files("monitor") / "kit.css").read_text(encoding="utf-8")
    foot = f"{value_text(kit['asset']['name'])}, baseline {kit['baseline']['digest'][:12]}"  # on every page: they part
    style += f'@page {{ @bottom-left {{ content: "{_css(foot)}"; {FOOT_STYLE} }} }}\n'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _css(text: str) -> str:
    """Text inside a string of CSS: whatever is no plain letter or digit is escaped (CSS Syntax 3, 4.3.7)."""
    return "".join(each if each.isascii() and each.isalnum() else f"\\{ord(each):x} " for each in text)


def _safe(value: Any) -> str:
    return escape(value_text(value))


def _section(heading: str, todo: str, body: str, name: str = "") -> str:
    lead = f"<p class=todo>{escape(todo)}</p>" if todo else ""
    return f"<section{f' class={name}' if name else ''}><h2>{escape(heading)}</h2>{lead}{body}</section>"


def _table(columns: Sequence[str], rows: Collection[Sequence[str]], name: str = "") -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    kinds = f"{name} short" if len(rows) <= SHORT else name
    return f"<table class='{kinds}'><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


BOX = "<i class=box></i>"
SAME = "<i class=same>=</i>"


def _facts_html(kit: Document) -> str:
    pairs = "".join(
        f"<div{' class=wide' if len(value) > NARROW else ''}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts(kit)
    )
    return f"<dl class=facts>{pairs}</dl>"


def _identity_html(kit: Document) -> str:
    rows = [
        (BOX, escape(name), f"<b>{escape(value)}</b>", f"<small>{escape(mark)}</small>" if mark else "")
        for name, value, mark in identity_rows(kit)
    ]
    return _section("Identity to fit", "", _table(("", "Field", "Approved", ""), rows, "identity"))


def _files_html(kit: Document) -> str:
    rows = []
    for row in kit["files"]:
        remark = file_remark(row)
        mark = "gap" if not row["path"] else "note"
        name = f"<b>{_safe(row['path'] or row['name'])}</b><br><code>{escape(row['sha256'])}</code>"
        name += f"<p class={mark}>{escape(remark)}</p>" if remark else ""
        rows.append((BOX, name, escape(row["kind"]), escape(size_text(row["size"]))))
    body = _table(("", "File and SHA-256", "Kind", "Size"), rows, "files") if rows else ""
    left = "".join(
        f"<li><b>{_safe(row['name'])}</b> ({escape(row['kind'])}): {_safe(row['why'])}</li>" for row in kit["left_out"]
    )
    body += f"<p class=todo>Of earlier baselines, and not in this kit:</p><ul>{left}</ul>" if left else ""
    todo = "Check them before you load one: sha256sum -c SHA256SUMS, or Get-FileHash FILE -Algorithm SHA256."
    return _section("Files", todo if rows else "None is attached to this baseline (asbuilt vault add).", body)


def _group_html(heading: str, todo: str, rows: Sequence[Document]) -> str:
    has_raw = any(raw_parts(row) for row in rows)
    cells = [_item_cells(row)[: None if has_raw else -1] for row in rows]
    columns = ("", "Item", "Value", "Address", "Words, by address, or bits")[: None if has_raw else -1]
    return _section(heading, todo, _table(columns, cells, "items" if has_raw else "nodes"))


def _item_cells(row: Document) -> tuple[str, ...]:
    notes = "".join(f"<p class=note>{_safe(text)}</p>" for text in (row["about"], row["note"]) if text)
    where = escape(address_cell(row)).replace(";s=", ";<wbr>s=")
    raw = " ".join(f"<code>{escape(part)}</code>" for part in raw_parts(row))
    return (
        BOX if row["enter"] else SAME,
        f"<b>{_safe(row['item'])}</b>{notes}",
        f"<b>{escape(value_cell(row))}</b>",
        f"<code>{where}</code><p class=note>{_safe(type_cell(row))}</p>",
        raw,
    )


def _not_covered_html(kit: Document) -> str:
    rows = [(BOX, f"<b>{_safe(row['item'])}</b>", escape(row["kind"]), _safe(row["why"])) for row in kit["not_covered"]]
    todo = "asbuilt knows no approved value of these: see to them yourself."
    return _section("Not covered", todo, _table(("", "Item", "", "Why"), rows, "gaps")) if rows else ""


def _reported_html(kit: Document) -> str:
    rows = [
        (SAME, f"<b>{_safe(row['item'])}</b>", escape(value_cell(row)), _safe(row["note"]) if row["note"] else "")
        for row in kit["reported"]
    ]
    todo = "Nothing to enter; the check compares it."
    return (
        _section("Reported by the device itself", todo, _table(("", "Item", "Value", ""), rows, "other"))
        if rows
        else ""
    )


def _checks_html(kit: Document) -> str:
    rows = [(BOX, f"<code>{_safe(row['do'])}</code>", escape(row["expect"])) for row in kit["checks"]]
    said = [("", f"exit code {row['exit_code']}", escape(verdict_text(row))) for row in kit["verdicts"]]
    body = _table(("", "Do", "What it must say"), rows, "checks") + f"<p class=todo>{escape(NEW_SERIAL)}</p>"
    return _section("Checks", "", body) + _section(
        "What asbuilt check may say", "", _table(("", "Ends with", "What it means"), said, "verdicts"), "short"
    )


def _signature_html() -> str:
    lines = "".join(f"<div>{escape(name)}</div>" for name in ("Restored by", "Date and time", "Signature"))
    return f"<footer class=sign>{lines}</footer>"
