/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata workloads of `make bench`, timed inside the process so that no fork or shell is counted.
 *
 *   meta create DIR N      N files of 0 to 4 KiB in directories of 1,000
 *   meta stat DIR N        lstat each of them
 *   meta unlink DIR N      unlink each of them
 *   meta names DIR N       N empty files in one directory
 *   meta lookup DIR N      lstat N/10 of these in random order
 *   meta append FILE N T   N times: append 4 KiB, fsync; T threads with a file each
 *   meta latency FILE N T  the same
 *
 * Prints the seconds that it took, as one number; latency: the median, the 90th and the 99th
 * percentile of one append with its fsync, in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


static char payload[4096];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, const char *path)
{
	fprintf(stderr, "meta: %s: %s: %s\n", path, what, strerror(errno));
	exit(1);
}

static void name_of(char *buf, size_t size, const char *dir, unsigned long i)
{
	snprintf(buf, size, "%s/d%lu/file-%lu", dir, i / 1000, i);
}

static void create(const char *dir, unsigned long n)
{
	char path[4200];

	for (unsigned long i = 0; i < n; i++) {
		int fd;

		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "%s/d%lu", dir, i / 1000);
			if (mkdir(path, 0755) != 0)
				die("mkdir", path);
		}
		name_of(path, sizeof(path), dir, i);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			die("open", path);
		if (i % 4 != 0 && write(fd, payload, 1 + i * 37 % 4096) < 0)
			die("write", path);
		if (close(fd) != 0)
			die("close", path);
	}
}

static void each(const char *dir, unsigned long n, int (*fn)(const char *), const char *what)
{
	char path[4200];

	for (unsigned long i = 0; i < n; i++) {
		name_of(path, sizeof(path), dir, i);
		if (fn(path) != 0)
			die(what, path);
	}
}

static int stat_one(const char *path)
{
	struct stat st;

	return lstat(path, &st);
}

static void names(const char *dir, unsigned long n)
{
	char path[4200];

	for (unsigned long i = 0; i < n; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/name-%lu", dir, i);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			die("open", path);
		close(fd);
	}
}

static void lookup(const char *dir, unsigned long n)
{
	uint64_t x = 88172645463325252ull;
	char path[4200];

	for (unsigned long i = 0; i < n / 10; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		snprintf(path, sizeof(path), "%s/name-%lu", dir, (unsigned long)(x % n));
		if (stat_one(path) != 0)
			die("lstat", path);
	}
}

struct append_job {
	const char *base;
	unsigned long n, id;
	double *took; /* n of them, seconds */
};

static void *append_thread(void *arg)
{
	const struct append_job *j = arg;
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s-%lu", j->base, j->id);
	fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644);
	if (fd < 0)
		die("open", path);
	for (unsigned long i = 0; i < j->n; i++) {
		double start = now();

		if (write(fd, payload, sizeof(payload)) != (ssize_t)sizeof(payload) || fsync(fd) != 0)
			die("append", path);
		j->took[i] = now() - start;
	}
	close(fd);
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void append(const char *base, unsigned long n, unsigned long threads, bool latency)
{
	double *took = calloc(n, sizeof(*took));
	pthread_t t[64];
	struct append_job jobs[64];

	if (!took || threads < 1 || threads > 64) {
		errno = EINVAL;
		die("threads", base);
	}
	for (unsigned long i = 0; i < threads; i++) {
		jobs[i] = (struct append_job){ base, n / threads, i, took + i * (n / threads) };
		if (pthread_create(&t[i], NULL, append_thread, &jobs[i]) != 0)
			die("thread", base);
	}
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	n = n / threads * threads;
	qsort(took, n, sizeof(*took), by_time);
	if (latency)
		printf("%.0f %.0f %.0f\n", took[n / 2] * 1e6, took[n * 9 / 10] * 1e6,
		       took[n * 99 / 100] * 1e6);
	free(took);
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	const char *op = argc > 1 ? argv[1] : "";
	double start;

	if (n == 0) {
		fprintf(stderr, "usage: meta create|stat|unlink|names|lookup|append|latency PATH N "
				"[THREADS]\n");
		return 2;
	}
	memset(payload, 'x', sizeof(payload));
	start = now();
	if (strcmp(op, "create") == 0)
		create(argv[2], n);
	else if (strcmp(op, "stat") == 0)
		each(argv[2], n, stat_one, "lstat");
	else if (strcmp(op, "unlink") == 0)
		each(argv[2], n, unlink, "unlink");
	else if (strcmp(op, "names") == 0)
		names(argv[2], n);
	else if (strcmp(op, "lookup") == 0)
		lookup(argv[2], n);
	else if (strcmp(op, "append") == 0 || strcmp(op, "latency") == 0)
		append(argv[2], n, argc > 4 ? strtoul(argv[4], NULL, 10) : 1, op[0] == 'l');
	else
		return 2;
	if (op[0] != 'l' || op[1] == 'o')
		printf("%.6f\n", now() - start);
	return 0;
}
