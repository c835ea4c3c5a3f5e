/* SPDX-License-Identifier: GPL-2.0 */
/* JSON, as far as to tell whether a text is that, and what some member of it is. */
#ifndef COWMEM_JSON_H
#define COWMEM_JSON_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *json_at; /* what is to be read */

static void json_blanks(void)
{
	json_at += strspn(json_at, " \t\n");
}

static bool json_string(void)
{
	if (*json_at++ != '"')
		return false;
	while (*json_at != '"') {
		if ((unsigned char)*json_at < 0x20)
			return false;
		if (*json_at == '\\' && *++json_at == 'u') {
			for (int i = 0; i < 4; i++)
				if (!isxdigit((unsigned char)*++json_at))
					return false;
		} else if (json_at[-1] == '\\' && !strchr("\"\\/bfnrt", *json_at)) {
			return false;
		}
		json_at++;
	}
	json_at++;
	return true;
}

static bool json_value(void);

/* The members of an object, or of an array. */
static bool json_members(bool named, char end)
{
	json_at++;
	json_blanks();
	if (*json_at == end) {
		json_at++;
		return true;
	}
	for (;;) {
		json_blanks();
		if (named) {
			if (!json_string())
				return false;
			json_blanks();
			if (*json_at++ != ':')
				return false;
		}
		if (!json_value())
			return false;
		json_blanks();
		if (*json_at == end) {
			json_at++;
			return true;
		}
		if (*json_at++ != ',')
			return false;
	}
}

static bool json_value(void)
{
	static const char *const words[] = {"true", "false", "null"};

	json_blanks();
	if (*json_at == '{')
		return json_members(true, '}');
	if (*json_at == '[')
		return json_members(false, ']');
	if (*json_at == '"')
		return json_string();
	for (int i = 0; i < 3; i++)
		if (!strncmp(json_at, words[i], strlen(words[i]))) {
			json_at += strlen(words[i]);
			return true;
		}
	if (!isdigit((unsigned char)*json_at))
		return false;
	json_at += strspn(json_at, "0123456789");
	return true;
}

/* Whether all of @text is one object, and a newline. */
static inline bool json_is_object(const char *text)
{
	json_at = text;
	return *text == '{' && json_value() && !strcmp(json_at, "\n");
}

/*
 * The value at @path, "checks.0.verdict", in @text, which is JSON: a string without its quotes, all
 * else as it is written; "" if there is none. In a buffer of its own.
 */
static inline const char *json_get(const char *text, const char *path)
{
	static char value[512];

	json_at = text;
	while (*path) {
		const size_t length = strcspn(path, ".");
		long index = isdigit((unsigned char)*path) ? atol(path) : -1;
		bool found = false;

		json_blanks();
		if (*json_at != '{' && *json_at != '[')
			return "";
		const bool named = *json_at++ == '{';

		while (!found) {
			const char *key;

			json_blanks();
			if (*json_at == '}' || *json_at == ']' || !*json_at)
				return "";
			key = json_at + 1;
			if (named) {
				if (!json_string())
					return "";
				found = json_at - key - 1 == (long)length &&
				        !strncmp(key, path, length);
				json_at++; /* the colon; the tool writes no blanks */
			} else {
				found = !index--;
			}
			if (!found) {
				if (!json_value())
					return "";
				json_at += *json_at == ',';
			}
		}
		path += length + (path[length] == '.');
	}
	const char *begin = json_at;

	if (!json_value())
		return "";
	const bool is_string = *begin == '"';

	snprintf(value, sizeof(value), "%.*s", (int)(json_at - begin - 2 * is_string),
	         begin + is_string);
	return value;
}

#endif /* COWMEM_JSON_H */
