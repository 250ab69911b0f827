/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal under power cuts, with a filesystem of three rules in place of ext4.
 *
 * Slot i is a metadata block; its value says what it points to: nothing, a data block (written
 * straight to the disk before the handle ends, as file data is) or a metadata block (created,
 * changed and forgotten through the journal, as a directory block is). Blocks freed are used again
 * when their transaction has committed. Each value carries a version, which the block pointed to
 * must hold too.
 *
 * After a crash at any event, with any part of the unflushed writes, recovery must give exactly
 * the slots of one of the commits: none older than the last one that was reported, and each slot's
 * block must hold the version that the slot says.
 *
 * And the same checks must fail when a fault is planted.
 */
#include <errno.h>

#include "tests/lib/check.h"
#include "tests/lib/jfix.h"

#define SLOTS	   24u
#define POOL_FIRST 100u
#define POOL	   60u /* few, so that blocks change hands often */
#define MAX_COMMITS 4096u

#define V3 (F4_JBD2_INCOMPAT_REVOKE | F4_JBD2_INCOMPAT_64BIT | F4_JBD2_INCOMPAT_CSUM_V3)

enum kind { NOTHING, DATA, META };

/* A slot's value: 2 bits kind, 8 bits pool index, 22 bits version. */
static uint32_t slot_value(enum kind kind, uint32_t idx, uint32_t version)
{
	return (uint32_t)kind << 30 | idx << 22 | (version & 0x3fffff);
}

struct world {
	struct jfix f;
	struct f4_disk *image; /* what the recording began with */
	uint64_t rnd;
	uint32_t version;
	uint32_t slots[SLOTS];
	f4_tid freed_in[POOL]; /* 0: free; UINT32_MAX: in use */
	/* history[n]: the slots as of commit n; 0: the beginning */
	uint32_t history[MAX_COMMITS][SLOTS];
	uint32_t n_commits;
};

static struct world *the_world; /* for the committed callback */

static uint32_t rnd(struct world *w, uint32_t n)
{
	w->rnd = w->rnd * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->rnd >> 33) % n;
}

/* In a single thread a commit holds exactly what was done before it. */
static void on_pre_commit(struct f4_volume *vol, struct f4_handle *h)
{
	struct world *w = the_world;

	if (w->n_commits + 1 < MAX_COMMITS)
		memcpy(w->history[++w->n_commits], w->slots, sizeof(w->slots));
}

static uint32_t take_block(struct world *w)
{
	uint32_t start = rnd(w, POOL);

	for (uint32_t i = 0; i < POOL; i++) {
		uint32_t idx = (start + i) % POOL;
		f4_tid t = w->freed_in[idx];

		if (t != UINT32_MAX && (t == 0 || !f4_tid_after(t, w->f.committed))) {
			w->freed_in[idx] = UINT32_MAX;
			return idx;
		}
	}
	return POOL;
}

static int write_data(struct world *w, uint32_t idx, uint32_t version)
{
	uint32_t bs = w->f.p.block_size;
	uint8_t *data = malloc(bs);
	int r;

	for (uint32_t i = 0; i < bs; i += 4)
		f4_store_le32(data + i, version);
	r = f4_disk_write(w->f.disk, data, bs, (uint64_t)(POOL_FIRST + idx) * bs);
	free(data);
	return r;
}

/* Let a slot point to something new; its old block is freed. */
static int change_slot(struct world *w, struct f4_handle *h, uint32_t slot)
{
	uint32_t old = w->slots[slot], idx = old >> 22 & 0xff, version = ++w->version;
	enum kind kind = rnd(w, 3);
	int r = 0;

	if (old >> 30 == META && rnd(w, 2) == 0) {
		/* just change the block that it has */
		r = jfix_set(&w->f, h, POOL_FIRST + idx, version);
		w->slots[slot] = slot_value(META, idx, version);
		return r < 0 ? r : jfix_set(&w->f, h, slot, w->slots[slot]);
	}
	if (old >> 30 == META)
		r = f4_txn_forget(h, POOL_FIRST + idx);
	if (old >> 30 != NOTHING)
		w->freed_in[idx] = h->tid;
	idx = kind == NOTHING ? POOL : take_block(w);
	if (idx == POOL)
		kind = NOTHING;
	if (r == 0 && kind == DATA) {
		f4_cache_invalidate(w->f.cache, POOL_FIRST + idx, 1);
		r = write_data(w, idx, version);
	}
	if (r == 0 && kind == META)
		r = jfix_create(&w->f, h, POOL_FIRST + idx, version);
	w->slots[slot] = slot_value(kind, kind == NOTHING ? 0 : idx, version);
	return r < 0 ? r : jfix_set(&w->f, h, slot, w->slots[slot]);
}

static int one_request(struct world *w)
{
	uint32_t n = 1 + rnd(w, 4);
	bool sync = rnd(w, 6) == 0;
	struct f4_handle h;
	f4_tid tid;
	int r = f4_txn_begin(w->f.j, 2 * n + 1, &h);

	if (r < 0)
		return r;
	tid = h.tid;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = change_slot(w, &h, rnd(w, SLOTS));
	if (r < 0)
		return f4_txn_abort(&h, r);
	r = f4_txn_end(&h);
	if (r == 0 && sync) {
		r = f4_journal_commit_wait(w->f.j, tid);
		/* The caller has been told: nothing may take this back. */
		if (r == 0)
			f4_sim_mark(w->f.disk, w->n_commits);
	}
	return r;
}

static void world_begin(struct world *w, const struct jfix_params *p, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rnd = seed * 77 + 1;
	jfix_init(&w->f, p);
	w->image = w->f.disk;
	w->f.disk = f4_sim_clone(w->image);
	w->f.log_disk = w->f.disk;
	w->f.pre_commit = on_pre_commit;
	the_world = w;
	f4_sim_record(w->f.disk);
}

static void world_end(struct world *w)
{
	jfix_done(&w->f);
	f4_disk_free(w->image);
}

/* --- checking one crash state --- */

static uint32_t data_at(struct jfix *f, uint32_t idx, bool *ret_uniform)
{
	uint32_t bs = f->p.block_size, first;
	uint8_t *data = malloc(bs);

	*ret_uniform = f4_disk_read(f->disk, data, bs, (uint64_t)(POOL_FIRST + idx) * bs) == 0;
	first = f4_load_le32(data);
	for (uint32_t i = 0; i < bs; i += 4)
		*ret_uniform = *ret_uniform && f4_load_le32(data + i) == first;
	free(data);
	return first;
}

static const char *check_slot(struct jfix *f, uint32_t value)
{
	uint32_t idx = value >> 22 & 0xff, version = value & 0x3fffff;
	bool uniform;

	switch (value >> 30) {
	case NOTHING:
		return NULL;
	case DATA:
		if (((data_at(f, idx, &uniform) ^ version) & 0x3fffff) != 0 || !uniform)
			return "a data block holds something else";
		return NULL;
	default:
		if (((jfix_home(f, POOL_FIRST + idx) ^ version) & 0x3fffff) != 0)
			return "a metadata block holds something else";
		return NULL;
	}
}

/* NULL: as it should be. @floor: the commit that was reported before the crash. */
static const char *check_state(struct world *w, struct f4_disk *state, uint32_t floor)
{
	struct jfix f = w->f;
	struct f4_recovery_result res;
	uint32_t now[SLOTS], n;
	const char *bad = NULL;
	int r;

	f.disk = f.log_disk = state;
	f.vol.log_arg = &f;
	r = jfix_recover(&f, &res);
	if (r < 0)
		return "recovery refused the log";
	for (uint32_t i = 0; i < SLOTS; i++)
		now[i] = jfix_home(&f, i);
	for (n = w->n_commits;; n--) {
		if (memcmp(now, w->history[n], sizeof(now)) == 0)
			break;
		if (n == floor)
			return "no whole commit, or less than was promised";
	}
	for (uint32_t i = 0; i < SLOTS && !bad; i++)
		bad = check_slot(&f, now[i]);
	return bad;
}

struct tally {
	uint32_t states, bad;
	const char *first_bad;
};

static void check_all(struct world *w, uint32_t step, struct tally *t)
{
	struct f4_sim_walk *walk = f4_sim_walk_new(w->f.disk);
	uint32_t floor = 0;
	size_t n;
	const struct f4_sim_event *events = f4_sim_events(w->f.disk, &n);

	for (size_t i = 0; i <= n; i++) {
		if (i > 0 && events[i - 1].op == F4_SIM_MARK)
			floor = events[i - 1].tag;
		if (i % step != 0 && i != n)
			continue;
		for (enum f4_sim_crash how = F4_SIM_ALL; how <= F4_SIM_TORN_LAST; how++) {
			struct f4_disk *state = f4_sim_crash(walk, i, how, i * 31 + how);
			const char *bad = check_state(w, state, floor);

			t->states++;
			if (bad && t->bad++ == 0)
				t->first_bad = bad;
			f4_disk_free(state);
		}
	}
	f4_sim_walk_free(walk);
}

static void run_world(const struct jfix_params *p, uint64_t seed, uint32_t requests,
		      uint32_t faults, uint32_t step, struct tally *t)
{
	struct world *w = malloc(sizeof(*w));

	world_begin(w, p, seed);
	TEST_REQUIRE(jfix_open(&w->f) == 0);
	f4_journal_plant(w->f.j, faults);
	for (uint32_t i = 0; i < requests; i++) {
		int r = one_request(w);

		TEST_EQ(r, 0);
		if (r < 0)
			break;
	}
	if (faults == 0)
		TEST_EQ(jfix_close(&w->f), 0);
	else
		(void)jfix_close(&w->f); /* EARLY_REUSE may have confused the test's own books */
	check_all(w, step, t);
	world_end(w);
	free(w);
}

static const struct jfix_params shapes[] = {
	{ .incompat = V3 },
	{ .incompat = V3, .block_size = 1024 },
	{ .incompat = V3, .scattered = true },
	{ .incompat = F4_JBD2_INCOMPAT_CSUM_V2, .block_size = 1024 },
	{ .incompat = F4_JBD2_INCOMPAT_CSUM_V2 | F4_JBD2_INCOMPAT_64BIT },
	{ .compat = F4_JBD2_COMPAT_CHECKSUM, .block_size = 1024 },
	{ .incompat = F4_JBD2_INCOMPAT_64BIT, .block_size = 2048 },
	{ .v1_super = true, .block_size = 1024 },
	{ .incompat = V3 | F4_JBD2_INCOMPAT_FAST_COMMIT, .log_blocks = 1300, .num_fc = 256 },
	{ .incompat = V3, .first_sequence = 0xffffffe0u, .block_size = 1024 },
};

static void every_shape_survives(void)
{
	struct tally t = { 0 };

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct tally one = { 0 };

		run_world(&shapes[i], i + 1, 150, 0, 2, &one);
		if (one.bad)
			TEST_FAIL_("shape %zu: %u of %u states: %s", i, one.bad, one.states,
				   one.first_bad);
		t.states += one.states;
	}
	printf("     %u crash states\n", t.states);
}

/* Long enough to go round the log several times, with checkpoints by need. */
static void wrap_around_survives(void)
{
	struct tally t = { 0 };

	run_world(&(struct jfix_params){ .incompat = V3, .block_size = 1024 }, 99, 2500, 0, 11, &t);
	if (t.bad)
		TEST_FAIL_("%u of %u states: %s", t.bad, t.states, t.first_bad);
	printf("     %u crash states\n", t.states);
}

static void planted_faults_are_caught(void)
{
	static const struct {
		uint32_t fault;
		const char *name;
		uint32_t requests, step;
	} faults[] = {
		{ F4_FAULT_SKIP_FLUSH, "flush before the commit block left out", 120, 1 },
		{ F4_FAULT_DROP_REVOKE, "revokes not written", 120, 1 },
		{ F4_FAULT_EARLY_REUSE, "freed blocks used before their commit", 120, 1 },
		{ F4_FAULT_EARLY_TAIL, "tail moved before home blocks are durable", 1500, 7 },
		{ F4_FAULT_NO_COMMIT_FUA, "commit block not durable", 120, 1 },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct tally t = { 0 };

		run_world(&(struct jfix_params){ .incompat = V3, .block_size = 1024 }, 7 + i,
			  faults[i].requests, faults[i].fault, faults[i].step, &t);
		if (t.bad == 0)
			TEST_FAIL_("not noticed: %s", faults[i].name);
		printf("     %s: %u of %u states (%s)\n", faults[i].name, t.bad, t.states,
		       t.first_bad ? t.first_bad : "-");
	}
}

int main(void)
{
	TEST_RUN(every_shape_survives);
	TEST_RUN(wrap_around_survives);
	TEST_RUN(planted_faults_are_caught);
	return test_done();
}
