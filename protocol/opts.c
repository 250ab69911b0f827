/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option table and the one loop over it; the contract is in opts.h.
 *
 * A row says how its word is written (enum arg), what kind it is (enum kind) and which field it
 * changes: offset and size in struct f4_opts, so that a new option is a new row and no new code.
 * Sources for the meaning of each word: ext4(5), mount(8), fuse(4).
 */
#include "protocol/opts.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "protocol/base/cleanup.h"
#include "protocol/idmap.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10, include/uapi/linux/mount.h */
#endif

#define MS_ATIME_MODES (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

enum kind { ACT, IGNORE, SWALLOW, REFUSE };

enum arg {
	ARG_NONE, /* the bare word */
	ARG_NUM,  /* =N */
	ARG_OPT,  /* bare, or =N */
	ARG_SIZE, /* =N with an optional k, m, g or t */
	ARG_STR,  /* =TEXT, not empty */
	ARG_WORD, /* =one of row.words */
	ARG_ANY,  /* bare or with any value */
};

struct word {
	const char *name;
	uint32_t value;
};

struct row {
	const char *name; /* a trailing '*' matches any rest */
	enum kind kind;
	enum arg arg;
	uint16_t field, size;		/* where a value goes in struct f4_opts; size 0: nowhere */
	uint64_t value;			/* what the bare word stores */
	uint64_t min, max;		/* for numbers */
	const struct word *words;	/* for ARG_WORD */
	uint32_t ms_set, ms_clear;	/* kernel flags */
	const char *why;		/* REFUSE: the reason */
};

static_assert(sizeof(enum f4_tri) == 4 && sizeof(bool) == 1, "row.size tells the types apart");

#define FIELD(f)      .field = offsetof(struct f4_opts, f), .size = sizeof(((struct f4_opts *)0)->f)
#define ON(w, f)      { .name = (w), FIELD(f), .value = 1 }
#define OFF(w, f)     { .name = (w), FIELD(f), .value = 0 }
/* Adds to what was given before; a field of f4_opts that is a mask of 16 bits. */
#define BITS(w, f, v) { .name = (w), FIELD(f), .value = (v) }
#define TRI(w, f, v)  { .name = (w), FIELD(f), .value = (v) }
#define FLAG(w, s, c) { .name = (w), .ms_set = (s), .ms_clear = (c) }
#define NUM(w, f, lo, hi) { .name = (w), .arg = ARG_NUM, FIELD(f), .min = (lo), .max = (hi) }
#define BYTES(w, f)   { .name = (w), .arg = ARG_SIZE, FIELD(f), .max = INT64_MAX }
#define TEXT(w, f)    { .name = (w), .arg = ARG_STR, FIELD(f) }
#define WORDS(w, f, t) { .name = (w), .arg = ARG_WORD, FIELD(f), .words = (t) }
#define INERT(w)      { .name = (w), .kind = IGNORE }
#define INERT_NUM(w, hi) { .name = (w), .kind = IGNORE, .arg = ARG_NUM, .max = (hi) }
#define INERT_OPT(w, hi) { .name = (w), .kind = IGNORE, .arg = ARG_OPT, .max = (hi) }
#define FSTAB(w)      { .name = (w), .kind = SWALLOW }
#define FSTAB_ANY(w)  { .name = (w), .kind = SWALLOW, .arg = ARG_ANY }
#define NO(w, reason) { .name = (w), .kind = REFUSE, .arg = ARG_ANY, .why = (reason) }

static const struct word data_words[] = {
	{ "ordered", F4_OPTS_DATA_ORDERED },
	{ "writeback", F4_OPTS_DATA_WRITEBACK },
	{ "journal", F4_OPTS_DATA_JOURNAL },
	{ NULL, 0 },
};

static const struct word errors_words[] = {
	{ "continue", F4_OPTS_ERRORS_CONTINUE },
	{ "remount-ro", F4_OPTS_ERRORS_RO },
	{ "panic", F4_OPTS_ERRORS_PANIC },
	{ NULL, 0 },
};

static const struct word transport_words[] = {
	{ "auto", F4_OPTS_TRANSPORT_AUTO },
	{ "device", F4_OPTS_TRANSPORT_DEVICE },
	{ "io_uring", F4_OPTS_TRANSPORT_RING },
	{ NULL, 0 },
};

static const char no_dax[] = "a FUSE mount can't map the device's memory";
static const char no_keys[] = "encryption keys stay in the kernel, which a FUSE server can't reach";
static const char no_old_quota[] =
	"quota files named by the mount are not kept; use an image with the quota feature";

static const struct row rows[] = {
	/* --- the kernel's flags --- */
	FLAG("ro", MS_RDONLY, 0),
	FLAG("rw", 0, MS_RDONLY),
	FLAG("nosuid", MS_NOSUID, 0),
	FLAG("suid", 0, MS_NOSUID),
	FLAG("nodev", MS_NODEV, 0),
	FLAG("dev", 0, MS_NODEV),
	FLAG("noexec", MS_NOEXEC, 0),
	FLAG("exec", 0, MS_NOEXEC),
	FLAG("nosymfollow", MS_NOSYMFOLLOW, 0),
	FLAG("symfollow", 0, MS_NOSYMFOLLOW),
	FLAG("sync", MS_SYNCHRONOUS, 0),
	FLAG("async", 0, MS_SYNCHRONOUS),
	FLAG("dirsync", MS_DIRSYNC, 0),
	FLAG("noatime", MS_NOATIME, MS_ATIME_MODES),
	FLAG("atime", 0, MS_NOATIME),
	FLAG("relatime", MS_RELATIME, MS_ATIME_MODES),
	FLAG("norelatime", 0, MS_RELATIME),
	FLAG("strictatime", MS_STRICTATIME, MS_ATIME_MODES),
	FLAG("nostrictatime", 0, MS_STRICTATIME),
	FLAG("nodiratime", MS_NODIRATIME, 0),
	FLAG("diratime", 0, MS_NODIRATIME),
	ON("lazytime", lazytime),
	OFF("nolazytime", lazytime),
	ON("remount", remount),

	/* --- where the filesystem is --- */
	BYTES("offset", offset_bytes),
	BYTES("sizelimit", sizelimit_bytes),
	NUM("partition", partition, 1, 65536),
	NUM("sb", sb_1k, 0, UINT64_MAX / 1024),

	/* --- the journal --- */
	ON("norecovery", norecovery),
	ON("noload", norecovery),
	TEXT("journal_path", journal_path),
	WORDS("data", data, data_words),
	NUM("commit", commit_secs, 0, INT32_MAX / 1000),
	{ .name = "barrier", .arg = ARG_OPT, FIELD(barrier), .value = F4_TRI_ON, .max = 1 },
	TRI("nobarrier", barrier, F4_TRI_OFF),

	/* --- the filesystem's behaviour --- */
	WORDS("errors", errors, errors_words),
	TRI("discard", discard, F4_TRI_ON),
	TRI("nodiscard", discard, F4_TRI_OFF),
	TRI("acl", acl, F4_TRI_ON),
	TRI("noacl", acl, F4_TRI_OFF),
	TRI("user_xattr", user_xattr, F4_TRI_ON),
	TRI("nouser_xattr", user_xattr, F4_TRI_OFF),
	TRI("grpid", grpid, F4_TRI_ON),
	TRI("bsdgroups", grpid, F4_TRI_ON),
	TRI("nogrpid", grpid, F4_TRI_OFF),
	TRI("sysvgroups", grpid, F4_TRI_OFF),
	NUM("resuid", resuid, 0, UINT32_MAX - 1),
	NUM("resgid", resgid, 0, UINT32_MAX - 1),
	TRI("bsddf", minixdf, F4_TRI_OFF),
	TRI("minixdf", minixdf, F4_TRI_ON),
	ON("debug", debug),
	BYTES("cache_size", cache_bytes),
	ON("direct_io_device", direct_io_device),
	BITS("usrquota", quota, F4_OPTS_QUOTA_USR),
	BITS("grpquota", quota, F4_OPTS_QUOTA_GRP),
	BITS("prjquota", quota, F4_OPTS_QUOTA_PRJ),
	BITS("quota", quota, F4_OPTS_QUOTA_USR),
	{ .name = "noquota", FIELD(quota), .value = 0 },

	/* --- what FUSE is told --- */
	TRI("allow_other", allow_other, F4_TRI_ON),
	TRI("noallow_other", allow_other, F4_TRI_OFF),
	ON("allow_root", allow_root),
	ON("allow_suid", allow_suid),
	ON("allow_dev", allow_dev),
	ON("default_permissions", default_permissions),
	ON("writeback_cache", writeback_cache),
	OFF("nowriteback_cache", writeback_cache),
	WORDS("transport", transport, transport_words),
	ON("allow_idmap", allow_idmap),
	ON("fakeroot", fakeroot),
	TEXT("idmap", idmap),
	ON("strict_open", strict_open),
	OFF("nostrict_open", strict_open),

	/* --- LSM contexts, for the kernel --- */
	TEXT("context", context),
	TEXT("fscontext", fscontext),
	TEXT("defcontext", defcontext),
	TEXT("rootcontext", rootcontext),

	/* --- accepted, no effect here --- */
	INERT("delalloc"),
	INERT("nodelalloc"),
	INERT_OPT("auto_da_alloc", UINT32_MAX),
	INERT("noauto_da_alloc"),
	INERT_OPT("init_itable", UINT32_MAX),
	INERT("noinit_itable"),
	INERT_NUM("inode_readahead_blks", 1u << 30),
	INERT_NUM("stripe", INT32_MAX),
	INERT_NUM("mb_optimize_scan", 1),
	INERT("prefetch_block_bitmaps"),
	INERT("no_prefetch_block_bitmaps"),
	INERT("journal_checksum"),
	INERT("nojournal_checksum"),
	INERT("journal_async_commit"),
	INERT("i_version"),
	INERT("block_validity"),
	INERT("noblock_validity"),
	INERT("dioread_lock"),
	INERT("dioread_nolock"),
	INERT("nodioread_nolock"),
	INERT("orlov"),
	INERT("oldalloc"),
	INERT("nombcache"),
	INERT_NUM("max_batch_time", INT32_MAX),
	INERT_NUM("min_batch_time", INT32_MAX),
	INERT_NUM("journal_ioprio", 7),
	{ .name = "max_dir_size_kb", .kind = IGNORE, .arg = ARG_NUM, FIELD(max_dir_size_kb),
	  .max = INT32_MAX },

	/* --- words of fstab and of mount(8) --- */
	FSTAB(""),
	FSTAB("defaults"),
	FSTAB("auto"),
	FSTAB("noauto"),
	FSTAB("nofail"),
	FSTAB_ANY("user"),
	FSTAB("nouser"),
	FSTAB("users"),
	FSTAB("nousers"),
	FSTAB("owner"),
	FSTAB("noowner"),
	FSTAB("group"),
	FSTAB("nogroup"),
	FSTAB("_netdev"),
	FSTAB("silent"),
	FSTAB("loud"),
	FSTAB_ANY("comment"),
	FSTAB_ANY("x-*"),
	FSTAB_ANY("X-*"),
	FSTAB_ANY("loop"),
	FSTAB_ANY("uhelper"),
	FSTAB_ANY("helper"),

	/* --- refused --- */
	NO("dax*", no_dax),
	NO("inlinecrypt", no_keys),
	NO("test_dummy_encryption", no_keys),
	NO("usrjquota", no_old_quota),
	NO("grpjquota", no_old_quota),
	NO("jqfmt", no_old_quota),
	NO("abort", "unmount instead"),
	NO("kernel", "this program never mounts with the kernel's ext4; use mount -t ext4"),
};

/* One word of the string, unescaped and cut at its first '='. */
struct item {
	const char *name, *value; /* value NULL: none was written */
};

__attribute__((format(printf, 2, 3))) static int refuse(struct f4_opts *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(o->message, sizeof(o->message), fmt, ap); /* a cut message still names it */
	va_end(ap);
	return F4_OPTS_E_REFUSED;
}

static void *field_of(struct f4_opts *o, const struct row *r)
{
	return (char *)o + r->field;
}

/* Append @word to the comma separated list *@list. */
static int collect(char **list, const struct item *it)
{
	char *longer;
	int n = asprintf(&longer, "%s%s%s%s%s", *list ? *list : "", *list ? "," : "", it->name,
			 it->value ? "=" : "", it->value ? it->value : "");

	if (n < 0)
		return -ENOMEM;
	free(*list);
	*list = longer;
	return 0;
}

static unsigned int suffix_shift(char c)
{
	switch (c) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	case 't':
	case 'T':
		return 40;
	default:
		return 0;
	}
}

/* A decimal number, with a binary suffix where @suffix allows one. false: it is none. */
static bool parse_number(const char *s, bool suffix, uint64_t *ret_n)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; s[i] >= '0' && s[i] <= '9'; i++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
			return false;
	if (i == 0)
		return false;
	if (suffix && suffix_shift(s[i])) {
		if (__builtin_mul_overflow(n, UINT64_C(1) << suffix_shift(s[i]), &n))
			return false;
		i++;
	}
	if (s[i])
		return false;
	*ret_n = n;
	return true;
}

static void store(struct f4_opts *o, const struct row *r, uint64_t n)
{
	uint32_t n32 = (uint32_t)n;
	uint16_t mask;
	bool b = n != 0;

	switch (r->size) {
	case 0:
		break;
	case sizeof(bool):
		memcpy(field_of(o, r), &b, sizeof(b));
		break;
	case sizeof(uint16_t):
		memcpy(&mask, field_of(o, r), sizeof(mask));
		mask = n ? (uint16_t)(mask | n) : 0;
		memcpy(field_of(o, r), &mask, sizeof(mask));
		break;
	case sizeof(uint32_t):
		memcpy(field_of(o, r), &n32, sizeof(n32));
		break;
	default:
		assert(r->size == sizeof(uint64_t));
		memcpy(field_of(o, r), &n, sizeof(n));
	}
}

static int take_number(struct f4_opts *o, const struct row *r, const struct item *it)
{
	uint64_t n;

	if (!it->value && r->arg == ARG_OPT) {
		store(o, r, r->value);
		return 0;
	}
	if (!it->value)
		return refuse(o, "option '%s' needs a number: %s=N", it->name, it->name);
	if (!parse_number(it->value, r->arg == ARG_SIZE, &n))
		return refuse(o, "option '%s=%s': not a number%s", it->name, it->value,
			      r->arg == ARG_SIZE ? " (of bytes, or with k, m, g or t)" : "");
	if (n < r->min || n > r->max)
		return refuse(o, "option '%s=%s': must be between %llu and %llu", it->name,
			      it->value, (unsigned long long)r->min, (unsigned long long)r->max);
	/* 'barrier=0' and its like: the field is a switch, the number says off or on */
	if (r->arg == ARG_OPT && r->value == F4_TRI_ON)
		n = n ? F4_TRI_ON : F4_TRI_OFF;
	store(o, r, n);
	return 0;
}

static int take_text(struct f4_opts *o, const struct row *r, const struct item *it)
{
	char *copy, *old;

	if (!it->value || !it->value[0])
		return refuse(o, "option '%s' needs a value: %s=VALUE", it->name, it->name);
	if (strlen(it->value) >= PATH_MAX)
		return refuse(o, "option '%s': the value is longer than %d bytes", it->name,
			      PATH_MAX - 1);
	copy = strdup(it->value);
	if (!copy)
		return -ENOMEM;
	assert(r->size == sizeof(copy));
	memcpy(&old, field_of(o, r), sizeof(old));
	free(old);
	memcpy(field_of(o, r), &copy, sizeof(copy));
	return 0;
}

static int take_word(struct f4_opts *o, const struct row *r, const struct item *it)
{
	for (const struct word *w = r->words; it->value && w->name; w++) {
		if (strcmp(w->name, it->value) == 0) {
			store(o, r, w->value);
			return 0;
		}
	}
	return refuse(o, "option '%s=%s': the value must be %s, %s or %s", it->name,
		      it->value ? it->value : "", r->words[0].name, r->words[1].name,
		      r->words[2].name);
}

static int take(struct f4_opts *o, const struct row *r, const struct item *it)
{
	switch (r->arg) {
	case ARG_NONE:
		if (it->value)
			return refuse(o, "option '%s' takes no value", it->name);
		store(o, r, r->value);
		return 0;
	case ARG_NUM:
	case ARG_OPT:
	case ARG_SIZE:
		return take_number(o, r, it);
	case ARG_STR:
		return take_text(o, r, it);
	case ARG_WORD:
		return take_word(o, r, it);
	case ARG_ANY:
	default:
		return 0;
	}
}

static const struct row *find(const char *name)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].name);

		if (len > 0 && rows[i].name[len - 1] == '*' ?
			    strncmp(name, rows[i].name, len - 1) == 0 :
			    strcmp(name, rows[i].name) == 0)
			return &rows[i];
	}
	return NULL;
}

static int apply(struct f4_opts *o, const struct item *it, bool lenient)
{
	const struct row *r = find(it->name);
	int rc;

	if (!r) {
		if (lenient)
			return collect(&o->unknown, it);
		return refuse(o, "option '%s' is unknown; mount.fuse4fs(8) lists all", it->name);
	}
	if (r->kind == REFUSE)
		return refuse(o, "option '%s' is refused: %s", it->name, r->why);
	rc = take(o, r, it);
	if (rc != 0)
		return rc;
	if (r->kind == IGNORE)
		return collect(&o->ignored, it);
	o->ms_flags = (o->ms_flags & ~r->ms_clear) | r->ms_set;
	o->ms_named |= r->ms_set | r->ms_clear;
	return 0;
}

/*
 * Cut the first word off *@s into @word (which has room for all of *@s): commas inside quotes
 * stay, "\," becomes a comma, the quotes around a whole value go. false: a quote never ends.
 */
static bool next_word(const char **s, char *word)
{
	const char *p = *s;
	bool quoted = false;
	size_t n = 0;

	for (; *p && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		if (!quoted && p[0] == '\\' && p[1] == ',')
			p++;
		word[n++] = *p;
	}
	word[n] = '\0';
	*s = *p ? p + 1 : p;
	return !quoted;
}

static struct item split_word(char *word)
{
	char *eq = strchr(word, '=');
	struct item it = { .name = word, .value = NULL };
	size_t len;

	if (!eq)
		return it;
	*eq++ = '\0';
	len = strlen(eq);
	if (len >= 2 && eq[0] == '"' && eq[len - 1] == '"') {
		eq[len - 1] = '\0';
		eq++;
	}
	it.value = eq;
	return it;
}

void f4_opts_init(struct f4_opts *o)
{
	*o = (struct f4_opts){
		.resuid = F4_OPTS_NONE32,
		.resgid = F4_OPTS_NONE32,
		.default_permissions = true,
	};
}

void f4_opts_done(struct f4_opts *o)
{
	free(o->journal_path);
	free(o->idmap);
	free(o->context);
	free(o->fscontext);
	free(o->defcontext);
	free(o->rootcontext);
	free(o->ignored);
	free(o->unknown);
	f4_opts_init(o);
}

int f4_opts_parse(struct f4_opts *o, const char *words, bool lenient)
{
	f4_auto_free char *word = NULL;
	size_t len = strnlen(words, F4_OPTS_MAX + 1);

	if (len > F4_OPTS_MAX)
		return refuse(o, "the options are longer than %u bytes", F4_OPTS_MAX);
	word = malloc(len + 1);
	if (!word)
		return -ENOMEM;
	while (*words) {
		struct item it;
		int rc;

		if (!next_word(&words, word))
			return refuse(o, "options: a quote has no end: %.100s", word);
		it = split_word(word);
		rc = apply(o, &it, lenient);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check_idmap(struct f4_opts *o)
{
	struct f4_idmap map;
	const char *what;

	switch (f4_idmap_parse(o->idmap, 0, 0, &map)) {
	case 0:
		return 0;
	case -EEXIST:
		what = "two ranges overlap ('self' is the image's id 0)";
		break;
	case -E2BIG:
		what = "too many ranges";
		break;
	default:
		what = "must be 'self' or IMAGE:SHOWN:COUNT, or several with '/' between";
	}
	return refuse(o, "option 'idmap=%s': %s", o->idmap, what);
}

/* Whose the files are, and who may come in. */
static int check_owners(struct f4_opts *o)
{
	if (o->allow_root && o->allow_other == F4_TRI_ON)
		return refuse(o, "options 'allow_root' and 'allow_other' exclude each other");
	if (o->fakeroot && (o->allow_root || o->allow_other == F4_TRI_ON))
		return refuse(o, "option 'fakeroot' excludes 'allow_other' and 'allow_root'");
	if (o->fakeroot && o->idmap)
		return refuse(o, "options 'fakeroot' and 'idmap' exclude each other");
	if (o->allow_idmap && (o->fakeroot || o->allow_root || o->idmap))
		return refuse(o, "option 'allow_idmap' excludes 'fakeroot', 'allow_root' and 'idmap'");
	if (o->fakeroot)
		o->default_permissions = false; /* the user may do what root may */
	return o->idmap ? check_idmap(o) : 0;
}

int f4_opts_check(struct f4_opts *o)
{
	if (o->partition && (o->offset_bytes || o->sizelimit_bytes))
		return refuse(o, "options 'partition' and 'offset' or 'sizelimit' exclude each other");
	if (o->norecovery && !f4_opts_ro(o))
		return refuse(o, "option 'norecovery' needs 'ro': writing beside an unreplayed "
				 "journal would corrupt the filesystem");
	return check_owners(o);
}

bool f4_opts_ro(const struct f4_opts *o)
{
	return (o->ms_flags & MS_RDONLY) != 0;
}

uint32_t f4_opts_mount_flags(const struct f4_opts *o, bool root)
{
	uint32_t ms = o->ms_flags;

	if (!root || (!(o->ms_named & MS_NOSUID) && !o->allow_suid))
		ms |= MS_NOSUID;
	if (!root || (!(o->ms_named & MS_NODEV) && !o->allow_dev))
		ms |= MS_NODEV;
	return ms;
}

enum f4_opts_atime f4_opts_atime(const struct f4_opts *o)
{
	if (o->ms_flags & MS_NOATIME)
		return F4_OPTS_ATIME_NONE;
	return o->ms_flags & MS_STRICTATIME ? F4_OPTS_ATIME_STRICT : F4_OPTS_ATIME_RELATIME;
}

const char *f4_opts_name(size_t i)
{
	return i < F4_ARRAY_LEN(rows) ? rows[i].name : NULL;
}
