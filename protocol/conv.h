/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversations: which message is legal when.
 *
 * One table for each protocol. Both ends of a connection hold a struct f4_conv and show it every
 * message, sent or received, in order: a peer that speaks out of turn is found out, and so is a bug
 * of our own. Strictly alternating: a command is answered before the next is sent.
 *
 * No system call, no allocation. Not thread-safe; each connection has its own.
 *
 * Service protocol:
 *
 *   HELLO --SAFT--> GREETED --LAST--> ARGV --FILE "argv"--> FUSEDEV --FILE "fusedev"--> READY
 *   READY --OPEN|BDEV--> OPENING --FILE--> READY
 *   READY --TYPE|NAME|MNTP|OPTS|MTAB--> ASKED --REPL--> READY        each at most once
 *   READY --DOIT--> MOUNTING --REPL 0--> MOUNTED,  --REPL error--> READY     needs NAME and MNTP
 *   ARGV|FUSEDEV|READY|MOUNTED --BYEE--> CLOSED
 *
 * Attach protocol:  REQUEST --ATCH|DTCH--> ANSWERING --ANSW--> CLOSED
 */
#ifndef F4_PROTOCOL_CONV_H
#define F4_PROTOCOL_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/msg.h"

enum f4_conv_state {
	F4_CONV_HELLO,
	F4_CONV_GREETED,
	F4_CONV_ARGV,
	F4_CONV_FUSEDEV,
	F4_CONV_READY,
	F4_CONV_OPENING,
	F4_CONV_ASKED,
	F4_CONV_MOUNTING,
	F4_CONV_MOUNTED,
	F4_CONV_REQUEST, /* the attach protocol's first */
	F4_CONV_ANSWERING,
	F4_CONV_CLOSED,
	F4_CONV_MAX
};

struct f4_conv {
	enum f4_conv_state state;
	uint32_t seen; /* bit enum f4_msg_type: it was here */
};

/* f4_conv_init - @first is F4_CONV_HELLO (service protocol) or F4_CONV_REQUEST (attach protocol). */
void f4_conv_init(struct f4_conv *c, enum f4_conv_state first);

/*
 * f4_conv_take - @m was received, or is about to be sent.
 * Return: 0 and the state has moved on; F4_MSG_E_STATE, F4_MSG_E_TWICE: refused, nothing moved, and
 * the caller ends the conversation. That the name in an answering FILE is the path asked for is
 * checked by the asker; "argv" and "fusedev" are checked here.
 */
int f4_conv_take(struct f4_conv *c, const struct f4_msg *m);

/* f4_conv_seen - was a message of this type taken? */
bool f4_conv_seen(const struct f4_conv *c, enum f4_msg_type type);

/* f4_conv_from_server - is @type one that only a server (or a broker) sends? */
bool f4_conv_from_server(enum f4_msg_type type);

/* f4_conv_state_name - for messages to people. */
const char *f4_conv_state_name(enum f4_conv_state state);

#endif
