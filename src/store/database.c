/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to SQLite with its statements.
 *
 * `items` is what there is, `history` what changed: a row a change, read by watches, and forgotten
 * from its old end. Write-ahead log, so that readers and the writer do not wait for each other; a
 * commit is on the disk when it returns.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store/store_priv.h"

/* In the file's header, where file(1) finds it: "Cell". */
#define APPLICATION_ID 0x43656c6c
#define FORMAT         1
#define BUSY_MS        10000

static const char schema[] =
	"BEGIN EXCLUSIVE;"
	"PRAGMA application_id = 1130720364;"
	"PRAGMA user_version = 1;"
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('revision', 0), ('forgotten', 0);"
	"CREATE TABLE items (key TEXT PRIMARY KEY, created INTEGER NOT NULL, modified INTEGER NOT NULL,"
	" version INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB NOT NULL);"
	"CREATE INDEX items_lease ON items (lease) WHERE lease <> 0;"
	"CREATE TABLE history (revision INTEGER, part INTEGER, key TEXT NOT NULL,"
	" created INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB,"
	" PRIMARY KEY (revision, part)) WITHOUT ROWID;"
	"CREATE TABLE leases (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_ms INTEGER NOT NULL);"
	"COMMIT;";

#define ITEM "key, created, modified, version, lease, value"

static const char *const texts[STATEMENTS] = {
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SAVEPOINT] = "SAVEPOINT one",
	[RELEASE] = "RELEASE one",
	[ROLLBACK_TO] = "ROLLBACK TO one",
	[META] = "SELECT value FROM meta WHERE name = ?",
	[SET_META] = "UPDATE meta SET value = ?2 WHERE name = ?1",
	[GET] = "SELECT " ITEM " FROM items WHERE key = ?",
	/* Keys are ASCII: DEL is behind all that a prefix has. */
	[LIST] =
		"SELECT " ITEM " FROM items WHERE key >= ?1 AND key < ?1 || char(127) AND key > ?2 "
		"ORDER BY key LIMIT ?3",
	[PUT] = "INSERT INTO items (" ITEM ") VALUES (?1, ?2, ?2, 1, ?3, ?4) ON CONFLICT (key) DO "
		"UPDATE SET modified = ?2, version = version + 1, lease = ?3, value = ?4",
	[DELETE] = "DELETE FROM items WHERE key = ?",
	[RECORD_PUT] = "INSERT INTO history SELECT ?1, ?2, key, created, version, lease, value "
		       "FROM items WHERE key = ?3",
	[RECORD_DELETE] = "INSERT INTO history SELECT ?1, ?2, key, created, version, lease, NULL "
			  "FROM items WHERE key = ?3",
	[HISTORY] = "SELECT part, key, created, revision, version, lease, value FROM history "
		    "WHERE (revision, part) > (?1, ?2) ORDER BY revision, part LIMIT ?3",
	[FORGET] = "DELETE FROM history WHERE revision <= ?",
	[LEASE_ADD] = "INSERT INTO leases (ttl_ms) VALUES (?)",
	[LEASE_REMOVE] = "DELETE FROM leases WHERE id = ?",
	[LEASE_IS] = "SELECT 1 FROM leases WHERE id = ?",
	[LEASES] = "SELECT id, ttl_ms FROM leases",
	[LEASE_KEYS] = "SELECT key FROM items WHERE lease = ? AND lease <> 0 ORDER BY key",
};

int database_error(sqlite3 *handle, struct err *err)
{
	static const struct {
		int sqlite, code;
	} codes[] = {
		{ SQLITE_FULL, ENOSPC },     { SQLITE_NOMEM, ENOMEM },
		{ SQLITE_BUSY, EBUSY },      { SQLITE_READONLY, EROFS },
		{ SQLITE_PERM, EACCES },     { SQLITE_CANTOPEN, ENOENT },
		{ SQLITE_CORRUPT, EBADMSG }, { SQLITE_NOTADB, EBADMSG },
	};
	int sqlite = handle ? sqlite3_errcode(handle) : SQLITE_NOMEM, code = EIO;

	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		if ((sqlite & 0xff) == codes[i].sqlite)
			code = codes[i].code;
	}
	return err_set(err, code, "the store: %s", handle ? sqlite3_errmsg(handle) : "no memory");
}

static int number(sqlite3 *handle, const char *text, int64_t *ret_number, struct err *err)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(handle, text, -1, &statement, NULL);

	if (!rc && sqlite3_step(statement) == SQLITE_ROW)
		*ret_number = sqlite3_column_int64(statement, 0);
	else
		rc = database_error(handle, err);
	sqlite3_finalize(statement);
	return rc < 0 ? rc : 0;
}

/* Makes the tables in a new file; else sees whether it is ours. */
static int check_format(sqlite3 *handle, struct err *err)
{
	int64_t id = 0, version = 0, tables = 0;
	int rc = number(handle, "PRAGMA application_id", &id, err);

	if (!rc)
		rc = number(handle, "PRAGMA user_version", &version, err);
	if (!rc)
		rc = number(handle, "SELECT count(*) FROM sqlite_master", &tables, err);
	if (rc)
		return rc;
	if (!id && !version && !tables)
		return sqlite3_exec(handle, schema, NULL, NULL, NULL) ? database_error(handle, err)
								      : 0;
	if (id != APPLICATION_ID)
		return err_set(err, EBADMSG, "a database of something else");
	if (version != FORMAT)
		return err_set(err, EPROTONOSUPPORT,
			       "format %lld of the store; this version knows format %d",
			       (long long)version, FORMAT);
	return 0;
}

int database_open(struct database *database, const char *path, struct err *err)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int rc;

	*database = (struct database){ 0 };
	rc = sqlite3_open_v2(path, &database->handle, flags, NULL);
	if (!rc)
		rc = sqlite3_busy_timeout(database->handle, BUSY_MS);
	if (!rc)
		rc = sqlite3_exec(database->handle,
				  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
				  /* A killed process would leave its files behind. */
				  "PRAGMA temp_store = MEMORY;",
				  NULL, NULL, NULL);
	if (rc)
		rc = database_error(database->handle, err);
	if (!rc)
		rc = check_format(database->handle, err);
	for (unsigned i = 0; i < STATEMENTS && !rc; i++) {
		if (sqlite3_prepare_v3(database->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &database->statements[i], NULL))
			rc = database_error(database->handle, err);
	}
	if (rc) {
		err_wrap(err, "cannot open '%s'", path);
		database_close(database);
	}
	return rc;
}

void database_close(struct database *database)
{
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(database->statements[i]);
	sqlite3_close(database->handle);
	*database = (struct database){ 0 };
}

sqlite3_stmt *database_start(struct database *database, enum statement which, const char *types,
			     ...)
{
	sqlite3_stmt *statement = database->statements[which];
	va_list values;

	va_start(values, types);
	for (int i = 1; *types; types++, i++) {
		if (*types == 'i') {
			sqlite3_bind_int64(statement, i, (int64_t)va_arg(values, uint64_t));
		} else if (*types == 's') {
			sqlite3_bind_text(statement, i, va_arg(values, const char *), -1,
					  SQLITE_STATIC);
		} else {
			const char *bytes = va_arg(values, const char *);

			sqlite3_bind_blob64(statement, i, bytes, va_arg(values, size_t),
					    SQLITE_STATIC);
		}
	}
	va_end(values);
	return statement;
}

void database_done(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

int database_row(sqlite3_stmt *statement, struct err *err)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	rc = rc == SQLITE_DONE ? 0 : database_error(sqlite3_db_handle(statement), err);
	database_done(statement);
	return rc;
}

int database_finish(sqlite3_stmt *statement, struct err *err)
{
	int rc;

	do
		rc = database_row(statement, err);
	while (rc > 0);
	return rc;
}

int database_do(struct database *database, enum statement statement, struct err *err)
{
	return database_finish(database_start(database, statement, ""), err);
}
