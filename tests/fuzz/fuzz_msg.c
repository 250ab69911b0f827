/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer of the packet decoder and of the conversation.
 *
 * The input is cut into packets: two bytes of length (big-endian), then that many bytes; what is
 * left over is a packet too. Each is decoded from a buffer of exactly its size and shown to a
 * conversation. Checked besides memory safety: what is accepted is in its documented ranges, and
 * encoding it gives the same bytes again.
 */
#include "tests/lib/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/endian.h"
#include "protocol/conv.h"
#include "protocol/msg.h"

#define MUST(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static void check_message(const struct f4_msg *m, const uint8_t *bytes, size_t len)
{
	static uint8_t again[F4_WIRE_PACKET_MAX];
	size_t again_len = 0;

	MUST((unsigned int)m->type < F4_MSG_MAX);
	MUST(f4_msg_has_text(m->type) == (m->text != NULL));
	MUST(!m->text || strlen(m->text) == m->text_len);
	MUST(f4_msg_fds(m) <= f4_msg_fds_max(m->type) && f4_msg_fds(m) <= F4_WIRE_FDS_MAX);
	MUST(f4_msg_encode(m, again, sizeof(again), &again_len) == 0);
	MUST(again_len == len && memcmp(again, bytes, len) == 0);
}

static void one_packet(struct f4_conv *c, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct f4_msg m;
	int r;

	MUST(exact);
	memcpy(exact, bytes, len);
	r = f4_msg_decode(exact, len, &m);
	MUST(r >= 0 && r < F4_MSG_E_STATE);
	if (r == 0) {
		check_message(&m, exact, len);
		r = f4_conv_take(c, &m);
		MUST(r == 0 || r == F4_MSG_E_STATE || r == F4_MSG_E_TWICE);
		MUST((unsigned int)c->state < F4_CONV_MAX);
	}
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct f4_conv service, attach;

	f4_conv_init(&service, F4_CONV_HELLO);
	f4_conv_init(&attach, F4_CONV_REQUEST);
	one_packet(&attach, data, size);
	while (size >= 2) {
		size_t n = f4_load_be16(data);

		data += 2;
		size -= 2;
		if (n > size)
			n = size;
		one_packet(&service, data, n);
		one_packet(&attach, data, n);
		data += n;
		size -= n;
	}
	return 0;
}
