#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A bar chart of ratios as SVG: a bar for each row, a mark where its goal is."""
import html

LABEL, SCALE, LINE, HEAD = 330, 360, 26, 58  # pixels: text column, a ratio of 1, a row, the title
GOOD, BAD, PLAIN, INK = "#2f7d4f", "#b5472f", "#6b7c93", "#1d2733"


def ratios(rows, title):
    """`rows` as scripts/bench.py writes them: title, ratio, goal (or None)."""
    widest = max(1.15, *(row["ratio"] + 0.15 for row in rows))
    width, height = LABEL + round(SCALE * widest), HEAD + LINE * len(rows) + 30
    one = LABEL + SCALE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16">{html.escape(title)}</text>',
        f'<line x1="{one}" y1="{HEAD - 8}" x2="{one}" y2="{height - 26}" stroke="{INK}" stroke-dasharray="3 3"/>',
        f'<text x="{one}" y="{HEAD - 13}" text-anchor="middle">peer = 1</text>',
    ]
    for number, row in enumerate(rows):
        top, goal, ratio = HEAD + LINE * number, row["goal"], row["ratio"]
        color = PLAIN if goal is None else GOOD if ratio <= goal else BAD
        out += [
            f'<text x="{LABEL - 10}" y="{top + 15}" text-anchor="end">{html.escape(row["title"])}</text>',
            f'<rect x="{LABEL}" y="{top + 3}" width="{ratio * SCALE:.0f}" height="{LINE - 10}" fill="{color}"/>',
            f'<text x="{LABEL + ratio * SCALE + 6:.0f}" y="{top + 15}" fill="{color}">{ratio:.2f}</text>',
        ]
        if goal is not None:
            at = round(LABEL + goal * SCALE)
            out.append(f'<line x1="{at}" y1="{top}" x2="{at}" y2="{top + LINE - 4}" stroke="{INK}" stroke-width="3"/>')
    out.append(f'<text x="12" y="{height - 10}" font-size="12">thick marks: goals; green: met; red: missed</text>')
    return "\n".join([*out, "</svg>", ""])
