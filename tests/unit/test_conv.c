/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which message when: whole conversations, then every message in every state. */
#include "protocol/conv.h"

#include <errno.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

#define T(t, ...) { .type = F4_MSG_##t, ##__VA_ARGS__ }

static const struct f4_msg hello = T(HELLO), last = T(HELLO_REPLY);
static const struct f4_msg argv = T(FILE, .text = "argv"), fusedev = T(FILE, .text = "fusedev");
static const struct f4_msg open_img = T(OPEN, .text = "/img"), img = T(FILE, .text = "/img");
static const struct f4_msg no_img = T(FILE, .text = "/img", .file = { ENOENT });
static const struct f4_msg fsopen = T(FSOPEN), source = T(SOURCE), mntp = T(MOUNTPOINT);
static const struct f4_msg opts = T(MNTOPTS), mtab = T(MTABOPTS), doit = T(MOUNT);
static const struct f4_msg ok = T(REPLY), no = T(REPLY, .reply = { EPERM }), bye = T(BYE);

struct step {
	const struct f4_msg *m;
	int want;
};

static void play(const char *name, const struct step *s, size_t n, enum f4_conv_state end)
{
	struct f4_conv c;

	f4_conv_init(&c, F4_CONV_HELLO);
	for (size_t i = 0; i < n; i++) {
		int r = f4_conv_take(&c, s[i].m);

		if (r != s[i].want)
			TEST_FAIL_("%s, step %zu (%s): %s, expected %s", name, i,
				   f4_msg_name(s[i].m->type), f4_msg_strerror(r),
				   f4_msg_strerror(s[i].want));
	}
	if (c.state != end)
		TEST_FAIL_("%s ends %s", name, f4_conv_state_name(c.state));
}

#define PLAY(end, ...)                                                      \
	play(__func__, (const struct step[]){ __VA_ARGS__ },                \
	     sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step), F4_CONV_##end)
#define START { &hello, 0 }, { &last, 0 }, { &argv, 0 }, { &fusedev, 0 }

static void whole(void)
{
	PLAY(CLOSED, START, { &open_img, 0 }, { &img, 0 }, { &fsopen, 0 }, { &ok, 0 },
	     { &source, 0 }, { &ok, 0 }, { &mntp, 0 }, { &ok, 0 }, { &opts, 0 }, { &ok, 0 },
	     { &mtab, 0 }, { &ok, 0 }, { &doit, 0 }, { &ok, 0 }, { &bye, 0 });
}

static void refused_open_then_another(void)
{
	PLAY(READY, START, { &open_img, 0 }, { &no_img, 0 }, { &open_img, 0 }, { &img, 0 });
}

static void refused_mount_again(void)
{
	PLAY(MOUNTED, START, { &source, 0 }, { &ok, 0 }, { &mntp, 0 }, { &ok, 0 }, { &doit, 0 },
	     { &no, 0 }, { &doit, 0 }, { &ok, 0 }, { &doit, F4_MSG_E_STATE },
	     { &open_img, F4_MSG_E_STATE });
}

static void each_once(void)
{
	static const struct f4_msg *const once[] = { &fsopen, &source, &mntp, &opts, &mtab };

	for (size_t i = 0; i < F4_ARRAY_LEN(once); i++) {
		PLAY(READY, START, { once[i], 0 }, { &ok, 0 }, { once[i], F4_MSG_E_TWICE });
		/* a refusal does not give a second try */
		PLAY(READY, START, { once[i], 0 }, { &no, 0 }, { once[i], F4_MSG_E_TWICE });
	}
}

static void mount_needs_source_and_place(void)
{
	PLAY(READY, START, { &doit, F4_MSG_E_STATE });
	PLAY(READY, START, { &source, 0 }, { &ok, 0 }, { &doit, F4_MSG_E_STATE });
	PLAY(READY, START, { &mntp, 0 }, { &ok, 0 }, { &doit, F4_MSG_E_STATE });
}

static void answers_come_one_by_one(void)
{
	PLAY(ASKED, START, { &source, 0 }, { &mntp, F4_MSG_E_STATE }, { &bye, F4_MSG_E_STATE });
	PLAY(OPENING, START, { &open_img, 0 }, { &open_img, F4_MSG_E_STATE },
	     { &ok, F4_MSG_E_STATE }, { &bye, F4_MSG_E_STATE });
	PLAY(READY, START, { &ok, F4_MSG_E_STATE }, { &img, F4_MSG_E_STATE });
	PLAY(ASKED, START, { &source, 0 }, { &img, F4_MSG_E_STATE });
}

static void first_files_by_name(void)
{
	PLAY(ARGV, { &hello, 0 }, { &last, 0 }, { &fusedev, F4_MSG_E_STATE });
	PLAY(FUSEDEV, { &hello, 0 }, { &last, 0 }, { &argv, 0 }, { &argv, F4_MSG_E_STATE });
}

static void goodbye_early(void)
{
	PLAY(CLOSED, { &hello, 0 }, { &last, 0 }, { &bye, 0 });
	PLAY(CLOSED, { &hello, 0 }, { &last, 0 }, { &argv, 0 }, { &bye, 0 }, { &bye, F4_MSG_E_STATE });
	PLAY(GREETED, { &hello, 0 }, { &bye, F4_MSG_E_STATE });
	PLAY(HELLO, { &bye, F4_MSG_E_STATE }, { &last, F4_MSG_E_STATE }, { &argv, F4_MSG_E_STATE });
}

/* Every message in every state: exactly the pairs of the diagram pass, all with everything seen
 * that they need and nothing seen twice. */
static void matrix(void)
{
	static const char *const want[F4_CONV_MAX] = {
		[F4_CONV_HELLO] = "SAFT",
		[F4_CONV_GREETED] = "LAST",
		[F4_CONV_ARGV] = "FILE BYEE",
		[F4_CONV_FUSEDEV] = "BYEE", /* FILE has the wrong name here */
		[F4_CONV_READY] = "OPEN BDEV TYPE OPTS MTAB DOIT BYEE", /* NAME, MNTP were seen */
		[F4_CONV_OPENING] = "FILE",
		[F4_CONV_ASKED] = "REPL",
		[F4_CONV_MOUNTING] = "REPL",
		[F4_CONV_MOUNTED] = "BYEE",
		[F4_CONV_REQUEST] = "ATCH DTCH",
		[F4_CONV_ANSWERING] = "ANSW",
		[F4_CONV_CLOSED] = "",
	};

	for (unsigned int s = 0; s < F4_CONV_MAX; s++) {
		for (unsigned int t = 0; t < F4_MSG_MAX; t++) {
			struct f4_conv c = { (enum f4_conv_state)s,
					     1u << F4_MSG_SOURCE | 1u << F4_MSG_MOUNTPOINT };
			struct f4_msg m = { .type = (enum f4_msg_type)t, .text = "argv" };
			const char *name = f4_msg_name(m.type);
			int r = f4_conv_take(&c, &m);

			if ((r == 0) != (strstr(want[s], name) != NULL))
				TEST_FAIL_("%s %s: %s", name, f4_conv_state_name(s),
					   f4_msg_strerror(r));
			TEST_EQ(c.state == s && !(c.seen & 1u << t) && r == 0, 0);
		}
	}
}

static void who_speaks(void)
{
	static const char server[] = "LAST OPEN BDEV TYPE NAME MNTP OPTS MTAB DOIT BYEE ANSW";

	for (unsigned int t = 0; t < F4_MSG_MAX; t++)
		TEST_EQ(f4_conv_from_server(t), strstr(server, f4_msg_name(t)) != NULL);
}

int main(void)
{
	TEST_RUN(whole);
	TEST_RUN(refused_open_then_another);
	TEST_RUN(refused_mount_again);
	TEST_RUN(each_once);
	TEST_RUN(mount_needs_source_and_place);
	TEST_RUN(answers_come_one_by_one);
	TEST_RUN(first_files_by_name);
	TEST_RUN(goodbye_early);
	TEST_RUN(matrix);
	TEST_RUN(who_speaks);
	return test_done();
}
