/* The environment: start, log, threads, time. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define ALLOW_EXPERIMENTAL_API

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_version.h>

/*
 * The log's buffer. The stream is opened once and never closed: a thread of DPDK's may still be writing to it
 * when the capture ends.
 */
static struct {
	pthread_mutex_t lock;
	FILE *stream;
	size_t used;
	char text[16384];
} capture = { .lock = PTHREAD_MUTEX_INITIALIZER };

static ssize_t capture_write(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	pthread_mutex_lock(&capture.lock);
	size_t room = sizeof(capture.text) - capture.used;
	size_t taken = RTE_MIN(room, len);
	memcpy(capture.text + capture.used, text, taken);
	capture.used += taken;
	pthread_mutex_unlock(&capture.lock);
	return (ssize_t)len;
}

void proa_log_begin(void)
{
	if (capture.stream == NULL) {
		capture.stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = capture_write });
		if (capture.stream == NULL)
			return;
		setvbuf(capture.stream, NULL, _IOLBF, 1024);
	}
	pthread_mutex_lock(&capture.lock);
	capture.used = 0;
	pthread_mutex_unlock(&capture.lock);
	rte_openlog_stream(capture.stream);
}

size_t proa_log_end(char *text, size_t room)
{
	rte_openlog_stream(NULL);
	if (capture.stream != NULL)
		fflush(capture.stream);
	pthread_mutex_lock(&capture.lock);
	size_t count = RTE_MIN(capture.used, room);
	memcpy(text, capture.text, count);
	pthread_mutex_unlock(&capture.lock);
	return count;
}

/*
 * Standard output and standard error, set aside: EAL answers wrong options with its whole usage on the one, and
 * getopt names the option on the other.
 */
struct streams {
	int out;
	int err;
	int said;
};

static void streams_aside(struct streams *aside)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fflush(stdout);
	fflush(stderr);
	aside->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	aside->err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	aside->said = memfd_create("dpdk-stderr", MFD_CLOEXEC);
	if (nowhere >= 0 && aside->out >= 0)
		dup2(nowhere, STDOUT_FILENO);
	if (aside->said >= 0 && aside->err >= 0)
		dup2(aside->said, STDERR_FILENO);
	if (nowhere >= 0)
		close(nowhere);
}

static void streams_back(struct streams *aside)
{
	char text[2048];
	ssize_t count;

	fflush(stdout);
	fflush(stderr);
	if (aside->out >= 0) {
		dup2(aside->out, STDOUT_FILENO);
		close(aside->out);
	}
	if (aside->err >= 0) {
		dup2(aside->err, STDERR_FILENO);
		close(aside->err);
	}
	if (aside->said >= 0) {
		count = pread(aside->said, text, sizeof(text), 0);
		if (count > 0)
			capture_write(NULL, text, (size_t)count);
		close(aside->said);
	}
}

int proa_eal_init(int argc, char **argv)
{
	struct streams aside;
	int parsed;

	streams_aside(&aside);
	parsed = rte_eal_init(argc, argv);
	streams_back(&aside);
	if (parsed >= 0)
		return parsed;
	return rte_errno != 0 ? -rte_errno : -EIO;
}

int proa_eal_cleanup(void)
{
	return rte_eal_cleanup();
}

const char *proa_version(void)
{
	return rte_version();
}

uint64_t proa_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

uint64_t proa_cycles(void)
{
	return rte_rdtsc();
}

int proa_socket_id(void)
{
	return (int)rte_socket_id();
}

int proa_thread_register(void)
{
	return rte_thread_register() == 0 ? 0 : -rte_errno;
}

void proa_thread_unregister(void)
{
	rte_thread_unregister();
}
