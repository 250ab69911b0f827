/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which message when; the contract and the diagram are in conv.h. */
#include "protocol/conv.h"

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

#define IN(state) (1u << F4_CONV_##state)
#define SEEN(type) (1u << F4_MSG_##type)

static_assert(F4_CONV_MAX <= 32 && F4_MSG_MAX <= 32, "sets are bits of one word");

struct rule {
	uint32_t states; /* legal in these */
	uint32_t needs;	 /* after all of these */
	bool once;
	bool from_server; /* or from the broker */
	enum f4_conv_state next; /* where it does not depend on the state or the contents */
};

/* next of FILE and REPLY: see next_state() */
static const struct rule rules[] = {
	[F4_MSG_HELLO] = { IN(HELLO), .next = F4_CONV_GREETED },
	[F4_MSG_HELLO_REPLY] = { IN(GREETED), .from_server = true, .next = F4_CONV_ARGV },
	[F4_MSG_FILE] = { IN(ARGV) | IN(FUSEDEV) | IN(OPENING), .next = F4_CONV_READY },
	[F4_MSG_OPEN] = { IN(READY), .from_server = true, .next = F4_CONV_OPENING },
	[F4_MSG_OPEN_BDEV] = { IN(READY), .from_server = true, .next = F4_CONV_OPENING },
	[F4_MSG_FSOPEN] = { IN(READY), 0, true, true, F4_CONV_ASKED },
	[F4_MSG_SOURCE] = { IN(READY), 0, true, true, F4_CONV_ASKED },
	[F4_MSG_MOUNTPOINT] = { IN(READY), 0, true, true, F4_CONV_ASKED },
	[F4_MSG_MNTOPTS] = { IN(READY), 0, true, true, F4_CONV_ASKED },
	[F4_MSG_MTABOPTS] = { IN(READY), 0, true, true, F4_CONV_ASKED },
	[F4_MSG_MOUNT] = { IN(READY), SEEN(SOURCE) | SEEN(MOUNTPOINT), .from_server = true,
			   .next = F4_CONV_MOUNTING },
	[F4_MSG_BYE] = { IN(ARGV) | IN(FUSEDEV) | IN(READY) | IN(MOUNTED), .from_server = true,
			 .next = F4_CONV_CLOSED },
	[F4_MSG_REPLY] = { IN(ASKED) | IN(MOUNTING), .next = F4_CONV_READY },
	[F4_MSG_ATTACH] = { IN(REQUEST), .next = F4_CONV_ANSWERING },
	[F4_MSG_DETACH] = { IN(REQUEST), .next = F4_CONV_ANSWERING },
	[F4_MSG_ANSWER] = { IN(ANSWERING), .from_server = true, .next = F4_CONV_CLOSED },
};
static_assert(F4_ARRAY_LEN(rules) == F4_MSG_MAX, "a rule for each message");

void f4_conv_init(struct f4_conv *c, enum f4_conv_state first)
{
	*c = (struct f4_conv){ .state = first };
}

static enum f4_conv_state next_state(const struct f4_conv *c, const struct f4_msg *m)
{
	if (c->state == F4_CONV_ARGV && m->type == F4_MSG_FILE)
		return F4_CONV_FUSEDEV;
	if (c->state == F4_CONV_MOUNTING && m->reply.error == 0)
		return F4_CONV_MOUNTED;
	return rules[m->type].next;
}

/* The two files that nobody asked for have fixed names. */
static bool name_ok(const struct f4_conv *c, const struct f4_msg *m)
{
	if (m->type != F4_MSG_FILE || c->state == F4_CONV_OPENING)
		return true;
	return f4_str_eq(m->text, c->state == F4_CONV_ARGV ? F4_FILE_ARGV : F4_FILE_FUSEDEV);
}

int f4_conv_take(struct f4_conv *c, const struct f4_msg *m)
{
	const struct rule *rule = &rules[m->type];

	if (!(rule->states & 1u << c->state))
		return F4_MSG_E_STATE;
	if (rule->once && f4_conv_seen(c, m->type))
		return F4_MSG_E_TWICE;
	if ((c->seen & rule->needs) != rule->needs || !name_ok(c, m))
		return F4_MSG_E_STATE;
	c->state = next_state(c, m);
	c->seen |= 1u << m->type;
	return 0;
}

bool f4_conv_seen(const struct f4_conv *c, enum f4_msg_type type)
{
	return c->seen & 1u << type;
}

bool f4_conv_from_server(enum f4_msg_type type)
{
	return rules[type].from_server;
}

const char *f4_conv_state_name(enum f4_conv_state state)
{
	static const char *const names[] = {
		[F4_CONV_HELLO] = "before the hello",
		[F4_CONV_GREETED] = "after the hello",
		[F4_CONV_ARGV] = "before the arguments",
		[F4_CONV_FUSEDEV] = "before the FUSE device",
		[F4_CONV_READY] = "between commands",
		[F4_CONV_OPENING] = "during an open",
		[F4_CONV_ASKED] = "during a command",
		[F4_CONV_MOUNTING] = "during the mount",
		[F4_CONV_MOUNTED] = "after the mount",
		[F4_CONV_REQUEST] = "before the request",
		[F4_CONV_ANSWERING] = "before the answer",
		[F4_CONV_CLOSED] = "after the end",
	};
	static_assert(F4_ARRAY_LEN(names) == F4_CONV_MAX, "a name for each state");

	return (unsigned int)state < F4_CONV_MAX ? names[state] : "?";
}
