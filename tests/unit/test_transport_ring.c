/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings without a mount: who serves which queue, requests put together and replies taken apart, and
 * the walls of a ring. How it works with the kernel's FUSE is tried by tests/cases/fuse-uring.
 */
#include "server/fuse/transport_ring.c"

#include <sys/socket.h>

#include "tests/lib/check.h"

static void test_parse_cpus(void)
{
	static const struct {
		const char *list;
		uint32_t n;
	} cases[] = {
		{ "0\n", 1 },	   { "0-1\n", 2 },   { "0-63", 64 },  { "0,2-5,7\n", 6 },
		{ "", 0 },	   { "\n", 0 },	     { "-1", 0 },     { "0-", 0 },
		{ "0,", 0 },	   { "3-1", 0 },     { "0-1x", 0 },   { "0-99999999999999999999", 0 },
		{ "0-65535", 65536 }, { " 0", 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(cases); i++)
		TEST_EQ(f4_ring_parse_cpus(cases[i].list), cases[i].n);
}

/* Every queue has an entry; with enough workers each online queue has its fair share of them. */
static void test_plans_leave_no_queue_out(void)
{
	for (uint32_t queues = 1; queues <= 40; queues++)
		for (uint32_t online = 1; online <= queues; online++)
			for (uint32_t workers = 1; workers <= 33; workers++) {
				struct f4_ring_plan p = { .workers = workers, .queues = queues, .online = online };

				for (uint32_t q = 0; q < queues; q++) {
					uint32_t n = 0;

					for (p.worker = 0; p.worker < workers; p.worker++)
						n += f4_ring_serves(&p, q);
					if (n == 0 || (q < online && n < workers / online))
						TEST_FAIL_("queue %u of %u (%u online): %u of %u workers", q,
							   queues, online, n, workers);
				}
			}
	TEST_CHECK(true);
}

static void test_bad_plans(void)
{
	static const struct f4_ring_plan bad[] = {
		{ .workers = 1, .queues = 0, .online = 1 },
		{ .workers = 1, .queues = F4_RING_QUEUES_MAX + 1, .online = 1 },
		{ .workers = 1, .queues = 1, .online = 0 },
		{ .workers = 1, .queues = 1, .online = 2 },
		{ .workers = 0, .queues = 1, .online = 1 },
		{ .worker = 2, .workers = 2, .queues = 1, .online = 1 },
	};
	struct f4_ring *ring = NULL;

	for (size_t i = 0; i < F4_ARRAY_LEN(bad); i++)
		TEST_EQ(f4_ring_new(-1, &bad[i], &ring), -EINVAL);
	TEST_CHECK(!ring);
	TEST_CHECK(!f4_ring_free(NULL));
}

/* A ring whose file is no FUSE device. Its memory is real, so requests can be put there by hand. */
static struct f4_ring *new_ring(int *ret_fd)
{
	/* without one there is nothing that could be tested */
	static const struct f4_ring_plan plan = { .workers = 1, .queues = 3, .online = 2 };
	struct f4_ring *ring = NULL;

	*ret_fd = memfd_create("ring", MFD_CLOEXEC);
	if (*ret_fd < 0 || f4_ring_new(*ret_fd, &plan, &ring) < 0)
		abort();
	return ring;
}

static void put(struct entry *e, uint32_t len, uint32_t payload)
{
	struct f4_abi_in_header in = { .len = len, .opcode = F4_ABI_WRITE, .unique = 77 };

	memset(e->headers, 0xaa, sizeof(*e->headers));
	memcpy(e->headers->in_out, &in, sizeof(in));
	memset(e->headers->op_in, 0x55, sizeof(e->headers->op_in));
	e->headers->payload_size = payload;
	e->headers->commit_id = 99;
}

static void test_assemble(void)
{
	static const struct {
		uint32_t len, payload;
		int r;
	} cases[] = {
		{ 40, 0, 0 },	      { 40 + 16, 0, 0 },   { 40 + 128, 0, 0 },	{ 40 + 136, 0, -EPROTO },
		{ 40 + 12, 0, -EPROTO }, { 39, 0, -EPROTO },  { 0, 0, -EPROTO }, { 40 + 40 + 4096, 4096, 0 },
		{ 40 + 5, 5, 0 },     { 40 + 5, 6, -EPROTO },
		{ 40 + 40 + F4_TRANSPORT_MAX_IO, F4_TRANSPORT_MAX_IO, 0 },
		{ 40 + 41 + F4_TRANSPORT_MAX_IO, F4_TRANSPORT_MAX_IO + 1, -EPROTO },
		{ UINT32_MAX, UINT32_MAX - 40, -EPROTO },
	};
	int fd;
	struct f4_ring *ring = new_ring(&fd);

	TEST_EQ(ring->count, 3u); /* one worker has all queues */
	for (size_t i = 0; i < F4_ARRAY_LEN(cases); i++) {
		struct entry *e = &ring->entries[i % ring->count];
		struct f4_ring_request req = { 0 };
		size_t op_len = cases[i].len - 40 - cases[i].payload;

		put(e, cases[i].len, cases[i].payload);
		TEST_EQ(assemble(e, &req), cases[i].r);
		if (cases[i].r != 0)
			continue;
		TEST_EQ(req.len, (size_t)cases[i].len);
		TEST_CHECK(req.has_payload == (cases[i].payload != 0));
		TEST_CHECK(req.in + 40 + op_len == req.payload);
		TEST_EQ((uintptr_t)req.payload % ring->page, 0u);
		TEST_CHECK(memcmp(req.in, e->headers->in_out, 40) == 0);
		TEST_CHECK(memcmp(req.in + 40, e->headers->op_in, op_len) == 0);
		TEST_CHECK(req.in >= (uint8_t *)(e->headers + 1)); /* the copy does not reach the original */
	}
	f4_ring_free(ring);
	(void)close(fd);
}

static void test_reply(void)
{
	struct f4_abi_out_header out = { .len = 1, .unique = 77 };
	int fd;
	struct f4_ring *ring = new_ring(&fd);
	struct entry *e = &ring->entries[1];
	struct iovec iov[3] = { { &out, sizeof(out) }, { (char[]){ "abc" }, 3 }, { (char[]){ "defg" }, 4 } };
	struct f4_abi_out_header got;

	put(e, 40, 0);
	ring->current = e;
	TEST_EQ(f4_ring_reply(ring, iov, 3), 0);
	memcpy(&got, e->headers->in_out, sizeof(got));
	TEST_EQ(got.len, 23u);
	TEST_EQ(got.unique, 77u);
	TEST_EQ(got.error, 0);
	TEST_EQ(e->headers->payload_size, 7u);
	TEST_EQ(e->headers->flags, 0u);
	TEST_CHECK(memcmp(e->payload, "abcdefg", 7) == 0);
	TEST_CHECK(!ring->current && ring->pending);

	/* In place, and too much. */
	put(e, 40, 0);
	ring->current = e;
	memcpy(e->payload, "in place", 8);
	iov[1] = (struct iovec){ e->payload, F4_TRANSPORT_MAX_IO };
	TEST_EQ(f4_ring_reply(ring, iov, 2), 0);
	TEST_EQ(e->headers->payload_size, F4_TRANSPORT_MAX_IO);
	TEST_CHECK(memcmp(e->payload, "in place", 8) == 0);
	put(e, 40, 0);
	ring->current = e;
	TEST_EQ(f4_ring_reply(ring, iov, 3), -EMSGSIZE);
	memcpy(&got, e->headers->in_out, sizeof(got));
	TEST_EQ(got.error, -EIO);
	TEST_EQ(e->headers->payload_size, 0u);
	f4_ring_free(ring);
	(void)close(fd);
}

/* A file that has no rings refuses the entries: begin says so, and the caller reads /dev/fuse. */
static void test_refused_entries(void)
{
	struct f4_ring_request req;
	int fd;
	struct f4_ring *ring = new_ring(&fd);

	TEST_EQ(f4_ring_begin(ring), -EOPNOTSUPP);
	/* Also as a result that comes later. */
	TEST_EQ(f4_ring_receive(ring, &req), -EOPNOTSUPP);
	f4_ring_free(ring);
	(void)close(fd);
}

static int try_one(struct f4_ring *ring, const struct io_uring_sqe *what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);
	struct io_uring_cqe *cqe = NULL;
	int r;

	memset(sqe, 0, 2 * sizeof(*sqe));
	*sqe = *what;
	r = io_uring_submit_and_wait(&ring->io, 1);
	if (r < 0)
		return r;
	r = io_uring_peek_cqe(&ring->io, &cqe);
	if (r < 0)
		return r;
	r = cqe->res;
	io_uring_cqe_seen(&ring->io, cqe);
	return r;
}

/* Nothing but commands on the registered file, whatever else a ring can do. */
static void test_walls(void)
{
	static char buf[64];
	int fd, other = memfd_create("other", MFD_CLOEXEC);
	struct f4_ring *ring = new_ring(&fd);
	uint32_t tried = 0;

	for (unsigned int op = 0; op < IORING_OP_LAST; op++) {
		for (int fixed = 0; fixed < 2; fixed++) {
			struct io_uring_sqe sqe = { .opcode = (uint8_t)op, .addr = (uint64_t)(uintptr_t)buf };

			sqe.flags = fixed ? IOSQE_FIXED_FILE : 0;
			sqe.fd = fixed ? 0 : other;
			if (op == IORING_OP_URING_CMD && fixed)
				continue;
			TEST_EQ(try_one(ring, &sqe), -EACCES);
			tried++;
		}
	}
	TEST_CHECK(tried > 90);
	TEST_EQ(try_one(ring, &(struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD, .flags = IOSQE_FIXED_FILE }),
		-EOPNOTSUPP);
	TEST_EQ(try_one(ring, &(struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD, .flags = IOSQE_FIXED_FILE,
						      .fd = 1 }),
		-EBADF);
	TEST_EQ(register_raw(ring, IORING_REGISTER_FILES_UPDATE, &other, 1), -EACCES);
	TEST_EQ(register_raw(ring, IORING_UNREGISTER_FILES, NULL, 0), -EACCES);
	TEST_CHECK(register_raw(ring, IORING_REGISTER_RESTRICTIONS, NULL, 0) < 0);
	f4_ring_free(ring);
	(void)close(fd);
	(void)close(other);
}

int main(void)
{
	int fd, r;
	struct f4_ring *ring = NULL;
	const struct f4_ring_plan plan = { .workers = 1, .queues = 1, .online = 1 };

	TEST_RUN(test_parse_cpus);
	TEST_RUN(test_plans_leave_no_queue_out);
	TEST_RUN(test_bad_plans);
	fd = memfd_create("try", MFD_CLOEXEC);
	r = f4_ring_new(fd, &plan, &ring);
	f4_ring_free(ring);
	(void)close(fd);
	if (r == -EPERM || r == -ENOSYS) { /* kernel.io_uring_disabled, or a container's filter */
		printf("no io_uring here (%s): the rest has nothing to stand on\n", strerror(-r));
		return test_done();
	}
	TEST_RUN(test_assemble);
	TEST_RUN(test_reply);
	TEST_RUN(test_refused_entries);
	TEST_RUN(test_walls);
	return test_done();
}
