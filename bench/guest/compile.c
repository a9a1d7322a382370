/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of ordinary C for the compiler to work on: a calculator, a hash table, a sort, a string search, a packer. As a
 * program it runs them all on numbers of its own and prints one sum, so a wrongly compiled one shows.
 * PART gives functions and data of several copies different names, so that they link to one program (see Makefile).
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PART
#define PART 0
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Calculator: recursive descent over + - * / % and brackets. */
struct parser {
	const char *at;
	unsigned errors;
};

static int64_t parse_sum(struct parser *p);

static int64_t parse_value(struct parser *p)
{
	int64_t value = 0;

	if (*p->at == '-') {
		p->at++;
		return -parse_value(p);
	}
	if (*p->at == '(') {
		p->at++;
		value = parse_sum(p);
		if (*p->at == ')')
			p->at++;
		else
			p->errors++;
		return value;
	}
	if (!isdigit((unsigned char)*p->at))
		p->errors++;
	while (isdigit((unsigned char)*p->at))
		value = value * 10 + (*p->at++ - '0');
	return value;
}

static int64_t parse_product(struct parser *p)
{
	int64_t value = parse_value(p);

	for (;;) {
		char what = *p->at;
		int64_t right;

		switch (what) {
		case '*':
			p->at++;
			value = (int64_t)((uint64_t)value * (uint64_t)parse_value(p));
			break;
		case '/':
		case '%':
			p->at++;
			right = parse_value(p);
			if (!right || right == -1)
				p->errors++;
			else
				value = what == '/' ? value / right : value % right;
			break;
		default:
			return value;
		}
	}
}

static int64_t parse_sum(struct parser *p)
{
	int64_t value = parse_product(p);

	while (*p->at == '+' || *p->at == '-') {
		uint64_t sign = *p->at++ == '+' ? 1 : (uint64_t)-1;

		value = (int64_t)((uint64_t)value + sign * (uint64_t)parse_product(p));
	}
	return value;
}

static size_t write_term(char *text, uint32_t *state, unsigned depth)
{
	static const char operators[] = "+-*/%";
	size_t at = 0;

	if (!depth)
		return (size_t)sprintf(text, "%u", random_next(state) % 1000 + 2);
	text[at++] = '(';
	at += write_term(text + at, state, depth - 1);
	text[at++] = operators[random_next(state) % 5];
	at += write_term(text + at, state, depth - 1);
	text[at++] = ')';
	text[at] = '\0';
	return at;
}

static uint64_t test_calculator(uint32_t seed)
{
	char text[4096];
	uint64_t sum = 0;

	for (unsigned turn = 0; turn < 20; turn++) {
		struct parser parser = { text, 0 };

		write_term(text, &seed, 5);
		sum = sum * 31 + (uint64_t)parse_sum(&parser) + parser.errors;
	}
	return sum;
}

/* Hash table with open addressing that grows. */
struct table {
	struct slot {
		char key[12];
		uint32_t value;
	} * slots;
	size_t size, used;
};

static uint32_t hash(const char *key)
{
	uint32_t value = 2166136261u;

	while (*key)
		value = (value ^ (uint8_t)*key++) * 16777619u;
	return value;
}

static struct slot *table_find(struct table *table, const char *key)
{
	size_t at = hash(key) & (table->size - 1);

	while (table->slots[at].key[0] && strcmp(table->slots[at].key, key))
		at = (at + 1) & (table->size - 1);
	return &table->slots[at];
}

static int table_grow(struct table *table)
{
	struct table bigger = { NULL, table->size ? table->size * 2 : 8, table->used };

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -1;
	for (size_t i = 0; i < table->size; i++)
		if (table->slots[i].key[0])
			*table_find(&bigger, table->slots[i].key) = table->slots[i];
	free(table->slots);
	*table = bigger;
	return 0;
}

static int table_add(struct table *table, const char *key, uint32_t value)
{
	struct slot *slot;

	if (table->used * 4 >= table->size * 3 && table_grow(table))
		return -1;
	slot = table_find(table, key);
	if (!slot->key[0]) {
		strcpy(slot->key, key);
		table->used++;
	}
	slot->value += value;
	return 0;
}

static uint64_t test_table(uint32_t seed)
{
	struct table table = { 0 };
	uint64_t sum = 0;

	for (unsigned i = 0; i < 3000; i++) {
		char key[12];

		snprintf(key, sizeof(key), "k%u", random_next(&seed) % 500);
		if (table_add(&table, key, i))
			return 0;
	}
	for (size_t i = 0; i < table.size; i++)
		sum += (uint64_t)table.slots[i].value * hash(table.slots[i].key);
	free(table.slots);
	return sum + table.used;
}

/* Quick sort with insertion below 8, of three kinds of element. */
#define SORT(name, type)                                                                           \
	static void name(type *values, size_t count)                                               \
	{                                                                                          \
		while (count > 8) {                                                                \
			type pivot = values[count / 2];                                            \
			size_t low = 0, high = count - 1;                                          \
			for (;;) {                                                                 \
				while (values[low] < pivot)                                        \
					low++;                                                     \
				while (pivot < values[high])                                       \
					high--;                                                    \
				if (low >= high)                                                   \
					break;                                                     \
				type other = values[low];                                          \
				values[low++] = values[high];                                      \
				values[high--] = other;                                            \
			}                                                                          \
			name(values, low);                                                         \
			values += low;                                                             \
			count -= low;                                                              \
		}                                                                                  \
		for (size_t i = 1; i < count; i++) {                                               \
			type value = values[i];                                                    \
			size_t at = i;                                                             \
			for (; at > 0 && value < values[at - 1]; at--)                             \
				values[at] = values[at - 1];                                       \
			values[at] = value;                                                        \
		}                                                                                  \
	}
SORT(sort_words, uint16_t)
SORT(sort_longs, int64_t)
SORT(sort_reals, double)

static uint64_t test_sort(uint32_t seed)
{
	enum { COUNT = 500 };
	uint16_t words[COUNT];
	int64_t longs[COUNT];
	double reals[COUNT];
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNT; i++) {
		words[i] = (uint16_t)random_next(&seed);
		longs[i] = (int64_t)random_next(&seed) - INT32_MAX;
		reals[i] = (double)random_next(&seed) / 7;
	}
	sort_words(words, COUNT);
	sort_longs(longs, COUNT);
	sort_reals(reals, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i &&
		    (words[i - 1] > words[i] || longs[i - 1] > longs[i] || reals[i - 1] > reals[i]))
			return 0;
		sum = sum * 33 + words[i] + (uint64_t)longs[i] + (uint64_t)reals[i];
	}
	return sum;
}

/* Search for a string in another by skipping (Boyer, Moore, Horspool). */
static size_t search(const uint8_t *text, size_t size, const uint8_t *what, size_t length)
{
	size_t skip[256], found = 0;

	for (unsigned i = 0; i < 256; i++)
		skip[i] = length;
	for (size_t i = 0; i + 1 < length; i++)
		skip[what[i]] = length - 1 - i;
	for (size_t at = 0; at + length <= size; at += skip[text[at + length - 1]])
		if (!memcmp(text + at, what, length))
			found++;
	return found;
}

/* Packer: runs of bytes, and back references of up to 255 bytes within the last 255. */
static size_t pack(const uint8_t *text, size_t size, uint8_t *out)
{
	size_t at = 0, to = 0;

	while (at < size) {
		size_t best = 0, distance = 0;

		for (size_t back = 1; back <= at && back < 256; back++) {
			size_t length = 0;

			while (length < 255 && at + length < size &&
			       text[at + length] == text[at + length - back])
				length++;
			if (length > best) {
				best = length;
				distance = back;
			}
		}
		if (best >= 4) {
			out[to++] = 0;
			out[to++] = (uint8_t)distance;
			out[to++] = (uint8_t)best;
			at += best;
		} else {
			out[to++] = text[at++];
		}
	}
	return to;
}

static size_t unpack(const uint8_t *in, size_t size, uint8_t *text)
{
	size_t to = 0;

	for (size_t at = 0; at < size; at++) {
		if (in[at]) {
			text[to++] = in[at];
			continue;
		}
		for (unsigned i = 0; i < in[at + 2]; i++, to++)
			text[to] = text[to - in[at + 1]];
		at += 2;
	}
	return to;
}

static uint64_t test_pack(uint32_t seed)
{
	enum { SIZE = 2000 };
	uint8_t text[SIZE], packed[SIZE], again[SIZE];
	size_t size;

	for (unsigned i = 0; i < SIZE; i++)
		text[i] = (uint8_t)(random_next(&seed) % 5 ? 'a' + i % 13
							   : 'a' + random_next(&seed) % 26);
	size = pack(text, SIZE, packed);
	if (unpack(packed, size, again) != SIZE || memcmp(text, again, SIZE))
		return 0;
	return size * 1000 + search(text, SIZE, text + 100, 3);
}

uint64_t JOIN(part_, PART)(void);

uint64_t JOIN(part_, PART)(void)
{
	static uint64_t (*const tests[])(uint32_t) = { test_calculator, test_table, test_sort,
						       test_pack };
	uint64_t sum = PART;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		sum = sum * 1000003 + tests[i](2463534242u + PART);
	return sum;
}

#if PART == 0
int main(void)
{
	printf("answer: %016llx\n", (unsigned long long)part_0());
	return 0;
}
#endif
