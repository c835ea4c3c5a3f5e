// SPDX-License-Identifier: GPL-2.0
/* What the tool prints: one JSON object, or text for people. */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_member; /* of the object or array that is open: the next needs a comma */

bool is_terminal(void)
{
	return isatty(STDOUT_FILENO) && !options.json;
}

const char *colour(const char *sequence)
{
	return is_terminal() && !getenv("NO_COLOR") ? sequence : "";
}

/* How many bytes the character at @text takes if it is UTF-8, or 0. */
static size_t utf8_length(const unsigned char *text)
{
	const size_t length = *text < 0x80                    ? 1
	                      : *text >= 0xC2 && *text < 0xE0 ? 2
	                      : *text >= 0xE0 && *text < 0xF0 ? 3
	                      : *text >= 0xF0 && *text < 0xF5 ? 4
	                                                      : 0;

	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xC0) != 0x80)
			return 0;
	/* Forms longer than need be, surrogates, and what lies beyond U+10FFFF. */
	if ((*text == 0xE0 && text[1] < 0xA0) || (*text == 0xED && text[1] > 0x9F) ||
	    (*text == 0xF0 && text[1] < 0x90) || (*text == 0xF4 && text[1] > 0x8F))
		return 0;
	return length;
}

static void json_string(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	putchar('"');
	while (*at) {
		const size_t length = utf8_length(at);

		if (*at == '"' || *at == '\\')
			printf("\\%c", *at);
		else if (*at < 0x20 || *at == 0x7F)
			printf("\\u%04x", *at);
		else if (length)
			fwrite(at, 1, length, stdout);
		else /* A byte of a file name that is no text, as Python has it. */
			printf("\\udc%02x", *at);
		at += length ? length : 1;
	}
	putchar('"');
}

static void json_key(const char *key)
{
	if (has_member)
		putchar(',');
	has_member = true;
	if (key) {
		json_string(key);
		putchar(':');
	}
}

static void json_open(const char *key, char bracket)
{
	json_key(key);
	putchar(bracket);
	has_member = false;
}

static void json_close(char bracket)
{
	putchar(bracket);
	has_member = true;
}

static void json_value(const char *key, enum kind kind, const char *text, uint64_t number)
{
	json_key(key);
	if (kind == TEXT && text)
		json_string(text);
	else if (kind == FLAG)
		fputs(number ? "true" : "false", stdout);
	else if (kind == TEXT || number == NO_LIMIT)
		fputs("null", stdout);
	else
		printf("%" PRIu64, number);
}

/* One of some buffers that are used in turn. */
static char *scratch(size_t room)
{
	static char *buffers[16];
	static unsigned int turn;
	char **buffer = &buffers[turn++ % 16];

	free(*buffer);
	*buffer = calloc(1, room);
	if (!*buffer)
		abort();
	return *buffer;
}

const char *visible(const char *text)
{
	char *out = scratch(strlen(text) * 4 + 1), *to = out;

	for (const unsigned char *at = (const unsigned char *)text; *at;) {
		const size_t length = utf8_length(at);
		/* U+0080 to U+009F are commands, too. */
		const bool control =
			*at < 0x20 || *at == 0x7F || !length || (*at == 0xC2 && at[1] < 0xA0);

		if (control)
			to += sprintf(to, "\\x%02x", *at++);
		else
			for (size_t i = 0; i < length; i++)
				*to++ = (char)*at++;
	}
	return out;
}

const char *size_text(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	char *out = scratch(32);
	double number = (double)bytes;
	size_t unit = 0;

	while (number >= 1024) {
		number /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", number, units[unit]);
	return out;
}

static const char *cell_text(enum kind kind, const struct cell *cell)
{
	char *out;

	if (kind == TEXT)
		return cell->text ? visible(cell->text) : "-";
	if (kind == FLAG)
		return cell->number ? "yes" : "no";
	if (cell->number == NO_LIMIT)
		return "-";
	if (kind == BYTES)
		return size_text(cell->number);
	out = scratch(48);
	if (kind == PAGES && cell->number)
		snprintf(out, 48, "%" PRIu64 " (%s)", cell->number,
		         size_text(cell->number * PAGE_SIZE));
	else
		snprintf(out, 48, "%" PRIu64, cell->number);
	return out;
}

/* --- single facts --- */

void out_begin(void)
{
	if (options.json)
		json_open(NULL, '{');
}

void out_end(void)
{
	if (options.json) {
		json_close('}');
		putchar('\n');
	}
	has_member = false;
}

static void fact(const char *key, const char *heading, enum kind kind, const struct cell *cell)
{
	if (options.json)
		json_value(key, kind, cell->text, cell->number);
	else if (heading)
		printf("%-20s %s\n", heading, cell_text(kind, cell));
}

void out_fact(const char *key, const char *heading, const char *text)
{
	fact(key, heading, TEXT, &(struct cell){.text = (char *)text});
}

void out_number(const char *key, const char *heading, enum kind kind, uint64_t number)
{
	fact(key, heading, kind, &(struct cell){.number = number});
}

void out_list_begin(const char *key, const char *heading)
{
	if (options.json)
		json_open(key, '[');
	else
		printf("%-20s", heading);
}

void out_list_item(const char *text)
{
	if (options.json)
		json_value(NULL, TEXT, text, 0);
	else
		printf(" %s", visible(text));
}

void out_list_end(void)
{
	if (options.json)
		json_close(']');
	else
		putchar('\n');
}

/* --- sheets --- */

void sheet_begin(struct sheet *sheet, const struct column *columns, size_t count)
{
	*sheet = (struct sheet){.columns = columns, .column_count = count};
}

static struct cell *new_cell(struct sheet *sheet)
{
	if (sheet->cell_count == sheet->room) {
		sheet->room = sheet->room * 2 + 64;
		sheet->cells = realloc(sheet->cells, sheet->room * sizeof(*sheet->cells));
		if (!sheet->cells)
			abort();
	}
	sheet->cells[sheet->cell_count] = (struct cell){0};
	return &sheet->cells[sheet->cell_count++];
}

void sheet_text(struct sheet *sheet, const char *text)
{
	new_cell(sheet)->text = text ? strdup(text) : NULL;
}

void sheet_number(struct sheet *sheet, uint64_t number)
{
	new_cell(sheet)->number = number;
}

static void sheet_free(struct sheet *sheet)
{
	for (size_t i = 0; i < sheet->cell_count; i++)
		free(sheet->cells[i].text);
	free(sheet->cells);
	*sheet = (struct sheet){0};
}

/* In a table pages are a number only: the heading says so. */
static const char *table_text(const struct column *column, const struct cell *cell)
{
	return cell_text(column->kind == PAGES ? NUMBER : column->kind, cell);
}

static void print_table(const struct sheet *sheet)
{
	const size_t columns = sheet->column_count, rows = sheet->cell_count / columns;
	size_t widths[32] = {0}, last = 0;

	for (size_t c = 0; c < columns; c++) {
		if (!sheet->columns[c].heading)
			continue;
		last = c;
		widths[c] = strlen(sheet->columns[c].heading);
		for (size_t r = 0; r < rows; r++) {
			const char *text =
				table_text(&sheet->columns[c], &sheet->cells[r * columns + c]);

			widths[c] = strlen(text) > widths[c] ? strlen(text) : widths[c];
		}
	}
	for (size_t r = 0; r <= rows; r++) {
		printf("%s", r ? "" : BOLD);
		for (size_t c = 0; c < columns; c++) {
			const struct column *column = &sheet->columns[c];
			const char *text;

			if (!column->heading)
				continue;
			text = r ? table_text(column, &sheet->cells[(r - 1) * columns + c])
			         : column->heading;
			if (column->kind != TEXT)
				printf("%*s", (int)widths[c], text);
			else if (c == last)
				printf("%s", text);
			else
				printf("%-*s", (int)widths[c], text);
			fputs(c == last ? "" : "  ", stdout);
		}
		printf("%s\n", r ? "" : PLAIN);
	}
}

void sheet_print(struct sheet *sheet, const char *key)
{
	const size_t columns = sheet->column_count;

	if (!options.json) {
		print_table(sheet);
		sheet_free(sheet);
		return;
	}
	json_open(key, '[');
	for (size_t i = 0; i < sheet->cell_count; i++) {
		const struct column *column = &sheet->columns[i % columns];

		if (i % columns == 0)
			json_open(NULL, '{');
		json_value(column->key, column->kind, sheet->cells[i].text, sheet->cells[i].number);
		if (i % columns == columns - 1)
			json_close('}');
	}
	json_close(']');
	sheet_free(sheet);
}

void sheet_print_facts(struct sheet *sheet)
{
	for (size_t c = 0; c < sheet->column_count; c++)
		fact(sheet->columns[c].key, sheet->columns[c].heading, sheet->columns[c].kind,
		     &sheet->cells[c]);
	sheet_free(sheet);
}
