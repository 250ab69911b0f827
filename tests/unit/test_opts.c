/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every row of the option table, the grammar around it, and what the words do to the fields. */
#include "protocol/opts.c"

#include "tests/lib/check.h"

struct state {
	struct f4_opts o;
	int rc;
};

static void parsed(struct state *s, const char *words, bool lenient)
{
	f4_opts_init(&s->o);
	s->rc = f4_opts_parse(&s->o, words, lenient);
}

/* A value that row @r accepts; "" when it takes none. */
static const char *good_value(const struct row *r)
{
	static char buf[64];

	buf[0] = '\0';
	if (r->arg == ARG_NUM || r->arg == ARG_SIZE)
		(void)snprintf(buf, sizeof(buf), "=%llu", (unsigned long long)r->max);
	else if (r->arg == ARG_WORD)
		(void)snprintf(buf, sizeof(buf), "=%s", r->words[2].name);
	else if (r->arg == ARG_STR)
		(void)snprintf(buf, sizeof(buf), "=/some/thing");
	return buf;
}

static void make_word(char *out, size_t size, const struct row *r)
{
	int n = (int)strlen(r->name);

	if (n > 0 && r->name[n - 1] == '*')
		(void)snprintf(out, size, "%.*sabc", n - 1, r->name);
	else
		(void)snprintf(out, size, "%s%s", r->name, good_value(r));
}

/* The bytes of the field of @r in @o, as a number (pointers: whether there is one). */
static uint64_t field_number(const struct f4_opts *o, const struct row *r)
{
	uint64_t n = 0;
	const char *text;

	if (r->arg == ARG_STR) {
		memcpy(&text, (const char *)o + r->field, sizeof(text));
		return text != NULL;
	}
	memcpy(&n, (const char *)o + r->field, r->size);
	return n;
}

static uint64_t expected_number(const struct row *r)
{
	if (r->arg == ARG_STR)
		return 1;
	if (r->arg == ARG_NUM || r->arg == ARG_SIZE)
		return r->max;
	return r->arg == ARG_WORD ? r->words[2].value : r->value;
}

static void check_row(const struct row *r, const char *word)
{
	struct state s;
	bool refused = r->kind == REFUSE;

	parsed(&s, word, true);
	TEST_EQ(s.rc, refused ? F4_OPTS_E_REFUSED : 0);
	if (refused) {
		const char *why = r->why;

		TEST_CHECK(why && strstr(s.o.message, why));
		TEST_CHECK(strstr(s.o.message, "'"));
	} else {
		TEST_CHECK(!s.o.unknown);
		TEST_EQ(s.o.ignored != NULL, r->kind == IGNORE);
		if (s.o.ignored)
			TEST_STREQ(s.o.ignored, word);
		TEST_EQ(s.o.ms_named, r->ms_set | r->ms_clear);
		TEST_EQ(s.o.ms_flags, r->ms_set);
		if (r->size > 0)
			TEST_EQ(field_number(&s.o, r), expected_number(r));
	}
	if (r->kind == ACT)
		TEST_CHECK(r->size > 0 || r->ms_set || r->ms_clear);
	f4_opts_done(&s.o);
}

static void every_row(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(rows); i++) {
		char word[128];

		make_word(word, sizeof(word), &rows[i]);
		check_row(&rows[i], word);
		for (size_t k = 0; k < i; k++)
			TEST_CHECK(strcmp(rows[k].name, rows[i].name) != 0);
		if (test_case_failed_)
			fprintf(stderr, "  in row %zu: %s\n", i, word);
		TEST_STREQ(f4_opts_name(i), rows[i].name);
	}
	TEST_CHECK(!f4_opts_name(F4_ARRAY_LEN(rows)));
}

static void wrong_values(void)
{
	static const struct {
		const char *words, *message;
	} t[] = {
		{ "ro=1", "option 'ro' takes no value" },
		{ "ro=", "option 'ro' takes no value" },
		{ "offset", "option 'offset' needs a number: offset=N" },
		{ "offset=", "option 'offset=': not a number (of bytes, or with k, m, g or t)" },
		{ "offset=-1", NULL },
		{ "offset=0x10", NULL },
		{ "offset=1kk", NULL },
		{ "offset=18446744073709551616", NULL },
		{ "offset=9223372036854775808", NULL },
		{ "offset=99999999999t", NULL },
		{ "commit=5k", "option 'commit=5k': not a number" },
		{ "commit=99999999", "option 'commit=99999999': must be between 0 and 2147483" },
		{ "partition=0", "option 'partition=0': must be between 1 and 65536" },
		{ "resuid=4294967295", NULL },
		{ "resuid=root", "option 'resuid=root': not a number" },
		{ "barrier=2", "option 'barrier=2': must be between 0 and 1" },
		{ "data=fast",
		  "option 'data=fast': the value must be ordered, writeback or journal" },
		{ "data", "option 'data=': the value must be ordered, writeback or journal" },
		{ "journal_path", "option 'journal_path' needs a value: journal_path=VALUE" },
		{ "journal_path=", NULL },
		{ "journal_path=\"\"", NULL },
		{ "context=\"a,ro", "options: a quote has no end: context=\"a,ro" },
		{ "ro,bogus,rw", "option 'bogus' is unknown; mount.fuse4fs(8) lists all" },
		{ "bogus=3", "option 'bogus' is unknown; mount.fuse4fs(8) lists all" },
		{ "RO", "option 'RO' is unknown; mount.fuse4fs(8) lists all" },
		{ "ro ", "option 'ro ' is unknown; mount.fuse4fs(8) lists all" },
		{ "-oro", "option '-oro' is unknown; mount.fuse4fs(8) lists all" },
		{ "dax=always", NULL },
		{ "daxy", NULL },
		{ "usrjquota=aquota.user", NULL },
		{ "init_itable=x", "option 'init_itable=x': not a number" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct state s;

		parsed(&s, t[i].words, false);
		TEST_EQ(s.rc, F4_OPTS_E_REFUSED);
		if (s.rc != F4_OPTS_E_REFUSED)
			fprintf(stderr, "  words: %s\n", t[i].words);
		if (t[i].message)
			TEST_STREQ(s.o.message, t[i].message);
		f4_opts_done(&s.o);
	}
}

static void sizes(void)
{
	static const struct {
		const char *words;
		uint64_t bytes;
	} t[] = {
		{ "offset=0", 0 },
		{ "offset=1048576", 1048576 },
		{ "offset=5368709120", 5368709120 },
		{ "offset=4k", 4096 },
		{ "offset=3M", 3u << 20 },
		{ "offset=5g", UINT64_C(5) << 30 },
		{ "offset=16T", UINT64_C(16) << 40 },
		{ "offset=9223372036854775807", INT64_MAX },
		{ "offset=1,offset=2", 2 },
		{ "offset=\"7\"", 7 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct state s;

		parsed(&s, t[i].words, false);
		TEST_EQ(s.rc, 0);
		TEST_EQ(s.o.offset_bytes, t[i].bytes);
		f4_opts_done(&s.o);
	}
}

static void last_word_wins(void)
{
	static const struct {
		const char *words;
		uint32_t flags;
	} t[] = {
		{ "ro,rw", 0 },
		{ "rw,ro", MS_RDONLY },
		{ "nosuid,nodev,noexec,exec,suid", MS_NODEV },
		{ "noatime,relatime", MS_RELATIME },
		{ "relatime,noatime", MS_NOATIME },
		{ "noatime,atime", 0 },
		{ "relatime,norelatime", 0 },
		{ "nodiratime,noatime", MS_NODIRATIME | MS_NOATIME },
		{ "sync,dirsync,async", MS_DIRSYNC },
		{ "defaults,,ro,", MS_RDONLY },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct state s;

		parsed(&s, t[i].words, false);
		TEST_EQ(s.rc, 0);
		TEST_EQ(s.o.ms_flags, t[i].flags);
		f4_opts_done(&s.o);
	}
}

static void strings_add_up(void)
{
	struct state s;

	parsed(&s, "ro,commit=3,delalloc,journal_path=/a", false);
	TEST_EQ(s.rc, 0);
	TEST_EQ(f4_opts_parse(&s.o, "rw,stripe=16,journal_path=/b\\,c", false), 0);
	TEST_CHECK(!f4_opts_ro(&s.o));
	TEST_EQ(s.o.commit_secs, 3);
	TEST_STREQ(s.o.ignored, "delalloc,stripe=16");
	TEST_STREQ(s.o.journal_path, "/b,c");
	f4_opts_done(&s.o);
}

static void quotes_keep_commas(void)
{
	struct state s;

	parsed(&s, "context=\"system_u:object_r:tmp_t:s0:c127,c456\",ro,fscontext=\"a\"", false);
	TEST_EQ(s.rc, 0);
	TEST_REQUIRE(s.o.context && s.o.fscontext);
	TEST_STREQ(s.o.context, "system_u:object_r:tmp_t:s0:c127,c456");
	TEST_STREQ(s.o.fscontext, "a");
	TEST_CHECK(f4_opts_ro(&s.o));
	f4_opts_done(&s.o);
}

static void fstab_words(void)
{
	struct state s;

	parsed(&s, "defaults,nofail,noauto,user,_netdev,x-systemd.automount,comment=x,user=joe,"
		   "X-mount.mkdir=0755,x-gvfs-show,loop=/dev/loop3,users,owner,group,auto,nouser",
	       false);
	TEST_EQ(s.rc, 0);
	TEST_CHECK(!s.o.ignored && !s.o.unknown);
	TEST_EQ(s.o.ms_flags, 0);
	TEST_EQ(s.o.ms_named, 0);
	f4_opts_done(&s.o);
}

static void lenient(void)
{
	struct state s;

	parsed(&s, "bogus,ro,other=5", true);
	TEST_EQ(s.rc, 0);
	TEST_STREQ(s.o.unknown, "bogus,other=5");
	TEST_CHECK(f4_opts_ro(&s.o));
	f4_opts_done(&s.o);
	/* leniency is for unknown words, not for refused or broken ones */
	parsed(&s, "jqfmt=vfsv0", true);
	TEST_EQ(s.rc, F4_OPTS_E_REFUSED);
	f4_opts_done(&s.o);
	parsed(&s, "offset=x", true);
	TEST_EQ(s.rc, F4_OPTS_E_REFUSED);
	f4_opts_done(&s.o);
}

static void exclusions(void)
{
	static const struct {
		const char *words;
		int rc;
	} t[] = {
		{ "", 0 },
		{ "offset=1,sizelimit=5", 0 },
		{ "partition=1,offset=1", F4_OPTS_E_REFUSED },
		{ "partition=1,sizelimit=1", F4_OPTS_E_REFUSED },
		{ "allow_other,noallow_other", 0 },
		{ "norecovery", F4_OPTS_E_REFUSED },
		{ "ro,noload", 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct state s;

		parsed(&s, t[i].words, false);
		TEST_EQ(s.rc, 0);
		TEST_EQ(f4_opts_check(&s.o), t[i].rc);
		f4_opts_done(&s.o);
	}
}

static void fields(void)
{
	struct state s;

	parsed(&s, "", false);
	TEST_EQ(s.o.resuid, F4_OPTS_NONE32);
	TEST_EQ(s.o.barrier, F4_TRI_DEFAULT);
	TEST_CHECK(s.o.default_permissions);
	TEST_EQ(f4_opts_atime(&s.o), F4_OPTS_ATIME_RELATIME);
	f4_opts_done(&s.o);
	parsed(&s, "barrier=0,data=journal,errors=panic,resuid=0,noatime,sb=32768,nodiscard", false);
	TEST_EQ(s.rc, 0);
	TEST_EQ(s.o.barrier, F4_TRI_OFF);
	TEST_EQ(s.o.data, F4_OPTS_DATA_JOURNAL);
	TEST_EQ(s.o.errors, F4_OPTS_ERRORS_PANIC);
	TEST_EQ(s.o.resuid, 0);
	TEST_EQ(s.o.sb_1k, 32768);
	TEST_EQ(s.o.discard, F4_TRI_OFF);
	TEST_EQ(f4_opts_atime(&s.o), F4_OPTS_ATIME_NONE);
	f4_opts_done(&s.o);
	parsed(&s, "nobarrier,barrier", false);
	TEST_EQ(s.o.barrier, F4_TRI_ON);
	f4_opts_done(&s.o);
	parsed(&s, "barrier=1", false);
	TEST_EQ(s.o.barrier, F4_TRI_ON);
	f4_opts_done(&s.o);
}

static void mount_flags(void)
{
	static const struct {
		const char *words;
		bool root;
		uint32_t flags;
	} t[] = {
		{ "", true, MS_NOSUID | MS_NODEV },
		{ "", false, MS_NOSUID | MS_NODEV },
		{ "suid,dev", true, 0 },
		{ "suid,dev,allow_suid,allow_dev", false, MS_NOSUID | MS_NODEV },
		{ "allow_suid", true, MS_NODEV },
		{ "allow_dev,nosuid", true, MS_NOSUID },
		{ "allow_dev,nodev", true, MS_NOSUID | MS_NODEV },
		{ "suid,ro,nodev", true, MS_RDONLY | MS_NODEV },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct state s;

		parsed(&s, t[i].words, false);
		TEST_EQ(f4_opts_mount_flags(&s.o, t[i].root), t[i].flags);
		f4_opts_done(&s.o);
	}
}

static void too_long(void)
{
	struct state s;
	char *long_words = malloc(F4_OPTS_MAX + 2);

	memset(long_words, ',', F4_OPTS_MAX + 1);
	long_words[F4_OPTS_MAX + 1] = '\0';
	parsed(&s, long_words, false);
	TEST_EQ(s.rc, F4_OPTS_E_REFUSED);
	parsed(&s, long_words + 1, false);
	TEST_EQ(s.rc, 0);
	memcpy(long_words, "journal_path=", 13);
	memset(long_words + 13, 'a', PATH_MAX);
	long_words[13 + PATH_MAX] = '\0';
	parsed(&s, long_words, false);
	TEST_EQ(s.rc, F4_OPTS_E_REFUSED);
	f4_opts_done(&s.o);
	free(long_words);
}

int main(void)
{
	TEST_RUN(every_row);
	TEST_RUN(wrong_values);
	TEST_RUN(sizes);
	TEST_RUN(last_word_wins);
	TEST_RUN(strings_add_up);
	TEST_RUN(quotes_keep_commas);
	TEST_RUN(fstab_words);
	TEST_RUN(lenient);
	TEST_RUN(exclusions);
	TEST_RUN(fields);
	TEST_RUN(mount_flags);
	TEST_RUN(too_long);
	return test_done();
}
