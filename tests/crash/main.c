/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crashlab [--states N] [--seed S] [--workload NAME] [--shape NAME] [--fsck N] [--verbose]
 *          [--faults] [--list] [--keep DIR --keep-every N]
 *
 * Runs the workloads on all shapes until N crash states (default 5000) have been judged, and prints
 * the counts. e2fsck looks at one state in N (default 25). One in --keep-every (default 500) is left in DIR as
 * K.crash.img and, as we recovered it, K.ours.img: for tests/crash/three-way. Exit 0: no violation. With --faults:
 * plants each known fault and exits 0 when every one is caught.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"
#include "tests/crash/lab.h"

/* Most runs are short, with many crash points each; some go round the log. */
#define REQUESTS      90u
#define LONG_REQUESTS 600u
#define STATES_A_RUN  45u
#define LONG_EVERY    7u

struct args {
	uint64_t states, seed, fsck_every, keep_every;
	const char *workload, *shape, *keep;
	bool verbose, faults, quiet;
};

struct counts {
	uint64_t runs, requests, states, bad, fsck, events, broken;
};

static char work_dir[256];

static struct f4_disk *make_image(const struct shape *s)
{
	char path[512], cmd[1200];
	struct f4_disk *d;
	int r;

	snprintf(path, sizeof(path), "%s/image", work_dir);
	(void)unlink(path);
	snprintf(cmd, sizeof(cmd),
		 "PATH=$PATH:/usr/sbin:/sbin; mke2fs -qF %s -E hash_seed=6c1f1c4e-0d2e-4b61-8a3e-000000000001 "
		 "'%s' %s >'%s.log' 2>&1 </dev/null", s->mkfs, path, s->size, path);
	r = system(cmd);
	if (!WIFEXITED(r) || WEXITSTATUS(r) != 0) {
		fprintf(stderr, "crashlab: mke2fs %s failed, see %s.log\n", s->mkfs, path);
		exit(2);
	}
	d = f4_sim_load(path);
	(void)unlink(path);
	if (!d)
		exit(2);
	return d;
}

static const char *how_name(enum f4_sim_crash how)
{
	static const char *const names[] = { "all written", "nothing since the flush",
					     "some writes", "torn", "last write torn" };

	return names[how];
}

static void keep_state(struct f4_disk *state, const struct args *a, uint64_t n, const char *name)
{
	char path[512];
	int r;

	if (!a->keep || n % a->keep_every != 0)
		return;
	snprintf(path, sizeof(path), "%s/%llu.%s.img", a->keep, (unsigned long long)n, name);
	r = f4_sim_store(state, path);
	if (r < 0) {
		fprintf(stderr, "crashlab: %s: %s\n", path, strerror(-r));
		exit(2);
	}
}

/* @states crash states of one recording, spread over its events. */
static void judge_run(struct lab *l, uint64_t states, const struct args *a, uint64_t seed,
		      struct counts *c)
{
	struct f4_sim_walk *w = f4_sim_walk_new(l->disk);
	size_t n, at = 0;
	const struct f4_sim_event *e = f4_sim_events(l->disk, &n);
	uint32_t done = 0;
	bool started = false;

	c->events += n;
	for (uint64_t s = 0; s < states; s++) {
		/* Stratified: one point in each of the equal parts. */
		size_t from = n * s / states, to = n * (s + 1) / states;
		size_t i = from + (to > from ? lab_rnd(l, (uint32_t)(to - from)) : 0);
		enum f4_sim_crash how = lab_rnd(l, 5);
		struct f4_disk *state;
		struct verdict v;
		bool fsck = a->fsck_every && c->states % a->fsck_every == 0;

		for (; at < i; at++) {
			if (e[at].op == F4_SIM_MARK) {
				done = e[at].tag;
				started = true;
			}
		}
		if (!started && l->shape->fill)
			continue; /* the ballast is not written down request by request */
		state = f4_sim_crash(w, i, how, seed + i);
		keep_state(state, a, c->states, "crash");
		lab_judge(l, state, done, fsck ? work_dir : NULL, a->verbose, &v);
		keep_state(state, a, c->states, "ours");
		f4_disk_free(state);
		c->states++;
		c->fsck += fsck;
		if (!v.what[0])
			continue;
		if (c->bad++ < 5 && !a->quiet)
			printf("  VIOLATION %s/%s seed %llu event %zu (%s), after request %u: %s\n",
			       l->load->name, l->shape->name, (unsigned long long)seed, i,
			       how_name(how), done, v.what);
	}
	f4_sim_walk_free(w);
}

static bool wanted(const char *name, const char *pattern)
{
	return !pattern || f4_str_eq(name, pattern);
}

/* Not the log: with a log that never fills up, nothing else is written but file data. */
static bool is_data(void *arg, uint64_t pos)
{
	const struct f4_jlog *log = arg;

	for (uint32_t i = 0; i < log->map_len; i++)
		if (pos / log->block_size >= log->map[i].pblk &&
		    pos / log->block_size < log->map[i].pblk + log->map[i].len)
			return false;
	return true;
}

static void one_run(struct lab *l, const struct workload *load, const struct shape *shape,
		    struct f4_disk *image, uint64_t seed, uint32_t requests, uint32_t faults,
		    bool late_data, uint64_t states, const struct args *a, struct counts *c)
{
	lab_run(l, load, shape, image, seed, requests, faults);
	if (late_data && !l->broken)
		f4_sim_delay(l->disk, is_data, &l->vol->journal->log);
	c->runs++;
	c->requests += l->n_ops;
	if (l->broken) {
		printf("  BROKEN RUN %s/%s seed %llu\n", load->name, shape->name,
		       (unsigned long long)seed);
		c->broken++;
	} else {
		judge_run(l, states, a, seed, c);
	}
	lab_done(l);
}

static int survive(struct lab *l, const struct args *a)
{
	struct counts c = { 0 };
	uint64_t seed = a->seed;
	bool some = true, is_long;

	while (c.states < a->states && c.bad < 50 && c.broken < 10 && some) {
		some = false;
		for (size_t s = 0; s < n_shapes; s++) {
			struct f4_disk *image;

			if (!wanted(shapes[s].name, a->shape))
				continue;
			image = make_image(&shapes[s]);
			for (size_t i = 0; i < n_workloads && c.states < a->states; i++) {
				if (!wanted(workloads[i].name, a->workload))
					continue;
				some = true;
				is_long = c.runs % LONG_EVERY == LONG_EVERY - 1;
				one_run(l, &workloads[i], &shapes[s], image, seed,
					is_long ? LONG_REQUESTS : REQUESTS, 0, false,
					is_long ? 2 * STATES_A_RUN : STATES_A_RUN, a, &c);
			}
			f4_disk_free(image);
		}
		seed++;
	}
	printf("crashlab: %llu runs, %llu requests, %llu disk events, %llu crash states, "
	       "%llu judged by e2fsck too: %llu violations, %llu broken runs\n",
	       (unsigned long long)c.runs, (unsigned long long)c.requests,
	       (unsigned long long)c.events, (unsigned long long)c.states,
	       (unsigned long long)c.fsck, (unsigned long long)c.bad, (unsigned long long)c.broken);
	return c.bad || c.broken || c.states == 0 ? 1 : 0;
}

/* --- faults --- */

/* Each with a workload and a shape that meet it. */
static const struct {
	const char *name;
	uint32_t fault;
	bool late_data;
	const char *workload, *shape;
	uint32_t requests;
} faults[] = {
	{ "no flush before the commit block", F4_FAULT_SKIP_FLUSH, false, "mix", "1k", REQUESTS },
	{ "revokes not written", F4_FAULT_DROP_REVOKE, false, "churn", "full", LONG_REQUESTS },
	{ "freed blocks used before their commit", F4_FAULT_EARLY_REUSE, false, "truncate", "1k",
	  REQUESTS },
	{ "tail moved before home blocks are durable", F4_FAULT_EARLY_TAIL, false, "commits", "1k",
	  LONG_REQUESTS },
	{ "commit block not durable when fsync returns", F4_FAULT_NO_COMMIT_FUA, false, "append",
	  "1k", REQUESTS },
	/* A log that never fills up, so that all that is written beside it is data. */
	{ "file data written after its commit", 0, true, "append", "default", REQUESTS },
};

static void hunt(struct lab *l, size_t f, const struct args *a, struct counts *c)
{
	for (uint64_t seed = a->seed; seed < a->seed + 40 && c->bad == 0; seed++) {
		for (size_t s = 0; s < n_shapes; s++) {
			struct f4_disk *image;

			if (!f4_str_eq(shapes[s].name, faults[f].shape))
				continue;
			image = make_image(&shapes[s]);
			for (size_t i = 0; i < n_workloads; i++)
				if (f4_str_eq(workloads[i].name, faults[f].workload))
					one_run(l, &workloads[i], &shapes[s], image, seed,
						faults[f].requests, faults[f].fault,
						faults[f].late_data, 600, a, c);
			f4_disk_free(image);
		}
	}
}

static int catch_faults(struct lab *l, const struct args *a)
{
	struct args quiet = *a;
	int missed = 0;

	quiet.fsck_every = 0;
	quiet.quiet = true;
	for (size_t f = 0; f < F4_ARRAY_LEN(faults); f++) {
		struct counts c = { 0 };

		hunt(l, f, &quiet, &c);
		printf("crashlab: planted: %s: %s (%llu of %llu states)\n", faults[f].name,
		       c.bad ? "caught" : "MISSED", (unsigned long long)c.bad,
		       (unsigned long long)c.states);
		missed += c.bad == 0;
	}
	return missed ? 1 : 0;
}

/* --- arguments --- */

static int usage(void)
{
	fprintf(stderr, "usage: crashlab [--states N] [--seed S] [--workload NAME] [--shape NAME] "
			"[--fsck N] [--verbose] [--faults] [--list] "
			"[--keep DIR --keep-every N]\n");
	return 2;
}

static int parse(int argc, char **argv, struct args *a)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (f4_str_eq(argv[i], "--verbose")) {
			a->verbose = true;
			continue;
		} else if (f4_str_eq(argv[i], "--faults")) {
			a->faults = true;
			continue;
		} else if (f4_str_eq(argv[i], "--list")) {
			for (size_t k = 0; k < n_workloads; k++)
				printf("workload %s\n", workloads[k].name);
			for (size_t k = 0; k < n_shapes; k++)
				printf("shape %s: %s\n", shapes[k].name, shapes[k].mkfs);
			return 1;
		}
		i++;
		if (f4_str_eq(argv[i - 1], "--workload"))
			a->workload = value;
		else if (f4_str_eq(argv[i - 1], "--shape"))
			a->shape = value;
		else if (f4_str_eq(argv[i - 1], "--keep"))
			a->keep = value;
		else if (f4_str_eq(argv[i - 1], "--keep-every") &&
			 f4_str_to_u64(value, 10, UINT64_MAX, &a->keep_every) == 0 && a->keep_every)
			continue;
		else if (f4_str_eq(argv[i - 1], "--states") &&
			 f4_str_to_u64(value, 10, UINT64_MAX, &a->states) == 0)
			continue;
		else if (f4_str_eq(argv[i - 1], "--seed") &&
			 f4_str_to_u64(value, 10, UINT64_MAX, &a->seed) == 0)
			continue;
		else if (f4_str_eq(argv[i - 1], "--fsck") &&
			 f4_str_to_u64(value, 10, UINT64_MAX, &a->fsck_every) == 0)
			continue;
		else
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { .states = 5000, .seed = 1, .fsck_every = 25, .keep_every = 500 };
	const char *tmp = getenv("TMPDIR");
	struct lab *l;
	int r = parse(argc, argv, &a);

	if (r < 0)
		return usage();
	if (r > 0)
		return 0;
	snprintf(work_dir, sizeof(work_dir), "%s/crashlab.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(work_dir)) {
		perror(work_dir);
		return 2;
	}
	l = calloc(1, sizeof(*l));
	r = a.faults ? catch_faults(l, &a) : survive(l, &a);
	free(l);
	if (r == 0) {
		char cmd[512];

		snprintf(cmd, sizeof(cmd), "rm -rf --one-file-system '%s'", work_dir);
		if (system(cmd) != 0)
			fprintf(stderr, "crashlab: %s stays behind\n", work_dir);
	}
	return r;
}
