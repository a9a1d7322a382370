/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/format/entries.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/macros.h"

#define ENTRY_BYTES     4
#define TABLE_BYTES_MAX 4096

uint32_t entries_table_bytes(uint64_t offset, uint64_t count, uint64_t end)
{
	for (uint32_t bytes = TABLE_BYTES_MAX; bytes >= BLOCK_SECTOR; bytes /= 2) {
		uint64_t per_table = bytes / ENTRY_BYTES;
		uint64_t tables = count / per_table + (count % per_table != 0);

		if (offset <= end && tables <= (end - offset) / bytes)
			return bytes;
	}
	return 0;
}

static uint64_t table_offset(const struct entries *entries, uint64_t index)
{
	uint64_t at = index * ENTRY_BYTES;

	return entries->offset + at - at % entries->table_bytes;
}

static uint8_t *entry_of(const struct entries *entries, const struct table *table, uint64_t index)
{
	return table->bytes + index * ENTRY_BYTES % entries->table_bytes;
}

static uint32_t entry_get(const struct entries *entries, const uint8_t *at)
{
	return entries->big_endian ? be32_get(at) : le32_get(at);
}

static bool is_special(const struct entries *entries, uint32_t value)
{
	return value < entries->low_specials || value > UINT32_MAX - entries->high_specials;
}

/* Entries of the piece from `index` on. */
static uint64_t left_in_table(const struct entries *entries, uint64_t index)
{
	uint64_t per_table = entries->table_bytes / ENTRY_BYTES;

	return MIN(per_table - index % per_table, entries->count - index);
}

static uint64_t count_run(const struct entries *entries, const uint8_t *at, uint64_t max)
{
	uint32_t value = entry_get(entries, at);
	uint32_t step = is_special(entries, value) ? 0 : entries->step;
	uint64_t count = 1;

	if (!step && !is_special(entries, value))
		return 1;
	while (count < max) {
		value += step;
		if (entry_get(entries, at + count * ENTRY_BYTES) != value)
			break;
		count++;
	}
	return count;
}

int entries_get(const struct entries *entries, uint64_t index, uint64_t max, bool wait,
		uint32_t *ret_value, uint64_t *ret_count)
{
	uint64_t offset = table_offset(entries, index);
	struct table *table = NULL;
	int rc = 0;

	if (index >= entries->count)
		return -EINVAL;
	if (wait)
		rc = table_cache_get(entries->cache, offset, &table);
	else
		table = table_cache_peek(entries->cache, offset);
	if (rc || !table)
		return rc ? rc : -EAGAIN;
	table_cache_lock(entries->cache);
	*ret_value = entry_get(entries, entry_of(entries, table, index));
	*ret_count = count_run(entries, entry_of(entries, table, index),
			       MIN(max, left_in_table(entries, index)));
	table_cache_unlock(entries->cache);
	table_cache_put(table);
	return 0;
}

int entries_set(const struct entries *entries, uint64_t index, uint64_t count, uint32_t value)
{
	uint32_t step = is_special(entries, value) ? 0 : entries->step;

	if (index > entries->count || count > entries->count - index)
		return -EINVAL;
	while (count) {
		uint64_t part = MIN(count, left_in_table(entries, index));
		struct table *table;
		int rc = table_cache_get(entries->cache, table_offset(entries, index), &table);

		if (rc)
			return rc;
		table_cache_lock(entries->cache);
		for (uint64_t i = 0; i < part; i++, value += step) {
			uint8_t *at = entry_of(entries, table, index + i);

			if (entries->big_endian)
				be32_put(at, value);
			else
				le32_put(at, value);
		}
		table_set_dirty(table);
		table_cache_unlock(entries->cache);
		table_cache_put(table);
		index += part;
		count -= part;
	}
	return 0;
}
