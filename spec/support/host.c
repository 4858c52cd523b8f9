/*
 * A Lua host for spec/life_spec.lua: it can do what a script cannot. Built by the spec with cc, against any Lua.
 *
 *   host SCRIPT ARGUMENT...   runs the script as lua does; what it raises is printed, and the exit status is 1
 *   host -e CODE              runs the code
 *
 * The script, and those that it runs, find the functions below in require "host". Each lua_State has an allocator that
 * can be told to fail, and this program's clock_gettime takes the place of libc's in the library that is tested.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* The allocator of the thread's present lua_State: how often it has grown, which growths fail, what it may still use. */
static __thread struct {
	long growths, from, until;
	long left;
	int limited;
} memory;

static void *allocate(void *unused, void *block, size_t old, size_t size) {
	(void)unused;
	long more = (long)size - (block != NULL ? (long)old : 0);
	if (more > 0) {
		long growth = ++memory.growths;
		if ((growth >= memory.from && growth < memory.until) || (memory.limited && more > memory.left))
			return NULL;
	}
	memory.left -= more;
	/* What Lua lets go of is wiped, so that `scan` finds what others keep. */
	void *moved = size > 0 ? malloc(size) : NULL;
	if (size > 0 && moved == NULL)
		return NULL;
	if (block != NULL) {
		if (moved != NULL)
			memcpy(moved, block, old < size ? old : size);
		explicit_bzero(block, old);
		free(block);
	}
	return moved;
}

/* fail(n?, count?): the n-th growth from now on fails, and those after it, `count` in all; without n none does. */
static int fail(lua_State *L) {
	long n = (long)luaL_optnumber(L, 1, 0), count = (long)luaL_optnumber(L, 2, 1e9);
	memory.growths = 0;
	memory.from = n;
	memory.until = n > 0 ? n + count : 0;
	return 0;
}

/* limit(bytes?): the lua_State may grow by so much; without bytes, by any amount */
static int limit(lua_State *L) {
	memory.limited = !lua_isnoneornil(L, 1);
	memory.left = (long)luaL_optnumber(L, 1, 0);
	return 0;
}

/* growths() -> how often memory has grown since fail() */
static int growths(lua_State *L) {
	lua_pushinteger(L, memory.growths);
	return 1;
}

/* Which reading of the clock from now on fails, on the library's own thread and on all others. 0: none. */
static atomic_long bad_clock[2];

int clock_gettime(clockid_t clock, struct timespec *time) {
	if (atomic_load(&bad_clock[0]) > 0 || atomic_load(&bad_clock[1]) > 0) {
		char name[16] = "";
		prctl(PR_GET_NAME, name);
		atomic_long *left = &bad_clock[strcmp(name, "silly-etcd") != 0];
		if (atomic_load(left) > 0 && atomic_fetch_sub(left, 1) == 1) {
			errno = EINVAL;
			return -1;
		}
	}
	return (int)syscall(SYS_clock_gettime, clock, time);
}

/* badclock(n, ours): the n-th reading of the clock from now on fails, on the library's thread or another. Rust panics. */
static int badclock(lua_State *L) {
	atomic_store(&bad_clock[!lua_toboolean(L, 2)], (long)luaL_checknumber(L, 1));
	return 0;
}

/* clockleft(ours) -> how many readings are left before the bad one */
static int clockleft(lua_State *L) {
	lua_pushinteger(L, atomic_load(&bad_clock[!lua_toboolean(L, 1)]));
	return 1;
}

static int count_entries(const char *path) {
	int n = 0;
	DIR *dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n - 2;
}

/* usage() -> threads, descriptors, bytes allocated, bytes resident once what is free has been given back */
static int usage(lua_State *L) {
	long pages = 0;
	malloc_trim(0);
	FILE *statm = fopen("/proc/self/statm", "r");
	if (statm == NULL || fscanf(statm, "%*d %ld", &pages) != 1)
		return luaL_error(L, "/proc/self/statm cannot be read");
	fclose(statm);
	struct mallinfo2 heap = mallinfo2();
	lua_pushinteger(L, count_entries("/proc/self/task"));
	lua_pushinteger(L, count_entries("/proc/self/fd") - 1);
	lua_pushnumber(L, (lua_Number)(heap.uordblks + heap.hblkhd));
	lua_pushnumber(L, (lua_Number)pages * (lua_Number)sysconf(_SC_PAGESIZE));
	return 4;
}

/* Where `scan` goes on when a thread that ends has taken its stack away meanwhile. */
static sigjmp_buf unmapped;

static void on_unmapped(int number) {
	siglongjmp(unmapped, number);
}

/* scan(text) -> how often the text stands backwards in the memory that this process can write, but for the stack of its
 * main thread, which later calls overwrite */
static int scan(lua_State *L) {
	size_t length;
	const char *text = luaL_checklstring(L, 1, &length);
	char line[512], mode[5];
	unsigned long from, to;
	volatile long found = 0;
	struct sigaction action = {.sa_handler = on_unmapped}, before;
	sigaction(SIGSEGV, &action, &before);
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0 ||
		    strstr(line, "[stack]") != NULL)
			continue;
		if (sigsetjmp(unmapped, 1) != 0)
			continue;
		for (const char *at = (const char *)from; at + length <= (const char *)to; at++) {
			size_t same = 0;
			while (same < length && at[same] == text[length - 1 - same])
				same++;
			found += same == length;
		}
	}
	if (maps != NULL)
		fclose(maps);
	sigaction(SIGSEGV, &before, NULL);
	lua_pushinteger(L, found);
	return 1;
}

/* sockets() -> how many descriptors are sockets */
static int sockets(lua_State *L) {
	int n = 0;
	for (int fd = 0; fd < 4096; fd++) {
		struct stat status;
		n += fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
	}
	lua_pushinteger(L, n);
	return 1;
}

/* fork() -> 0 in the child, its pid in the parent */
static int do_fork(lua_State *L) {
	lua_pushinteger(L, fork());
	return 1;
}

/* exit(status): ends the process at once, with no lua_close and no atexit */
static int do_exit(lua_State *L) {
	_exit((int)luaL_checkinteger(L, 1));
}

/* wait(pid, seconds) -> its exit status | "signal" n | "hangs": and then it is killed */
static int do_wait(lua_State *L) {
	pid_t pid = (pid_t)luaL_checkinteger(L, 1);
	struct timespec limit = {.tv_sec = (time_t)luaL_checkinteger(L, 2)};
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigtimedwait(&child, NULL, &limit) < 0 && errno == EAGAIN) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			lua_pushliteral(L, "hangs");
			return 1;
		}
	}
	sigprocmask(SIG_UNBLOCK, &child, NULL);
	if (WIFEXITED(status)) {
		lua_pushinteger(L, WEXITSTATUS(status));
		return 1;
	}
	lua_pushliteral(L, "signal");
	lua_pushinteger(L, WTERMSIG(status));
	return 2;
}

static lua_State *interrupted;

/* What lua.c does. */
static void stop(lua_State *L, lua_Debug *ar) {
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	luaL_error(L, "interrupted!");
}

static void on_interrupt(int signal) {
	(void)signal;
	lua_sethook(interrupted, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static struct {
	pthread_t target;
	int early;
} interruption;

static void *send_interrupt(void *argument) {
	(void)argument;
	char path[64], state = 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", getpid());
	/* Once it waits in epoll, where it drives tokio itself, or in poll for longer than anything else does. */
	do {
		FILE *file = fopen(path, "r");
		long call = -1;
		if (file == NULL || fscanf(file, "%ld", &call) != 1)
			call = -1;
		if (file != NULL)
			fclose(file);
		if (interruption.early)
			state = call == SYS_epoll_wait || call == SYS_epoll_pwait;
		else
			state = call == SYS_poll || call == SYS_ppoll;
		sched_yield();
	} while (!state);
	pthread_kill(interruption.target, SIGINT);
	return NULL;
}

/* interrupt(early): SIGINT comes once this thread waits, and is handled as lua.c does. For the main thread. */
static int interrupt(lua_State *L) {
	pthread_t thread;
	interrupted = L;
	interruption.target = pthread_self();
	interruption.early = lua_toboolean(L, 1);
	signal(SIGINT, on_interrupt);
	if (pthread_create(&thread, NULL, send_interrupt, NULL) != 0)
		return luaL_error(L, "no thread");
	pthread_detach(thread);
	return 0;
}

/* tasks() -> the ids of this process's threads */
static int tasks(lua_State *L) {
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	lua_newtable(L);
	for (int n = 0; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] != '.') {
			lua_pushstring(L, entry->d_name);
			lua_rawseti(L, -2, ++n);
		}
	}
	closedir(dir);
	return 1;
}

static int open_host(lua_State *L);

/* The protected part of run: arguments are the script's name and a list of its arguments. */
static int run_script(lua_State *L) {
	const char **words = lua_touserdata(L, 1);
	luaL_openlibs(L);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, open_host);
	lua_setfield(L, -2, "host");
	lua_settop(L, 0);
	int chunk = strcmp(words[0], "-e") == 0 && words[1] != NULL ? luaL_loadstring(L, words[1]) : luaL_loadfile(L, words[0]);
	if (chunk != 0)
		return lua_error(L);
	lua_newtable(L);
	int n = 0;
	for (; words[n] != NULL; n++) {
		lua_pushstring(L, words[n]);
		lua_rawseti(L, -2, n);
	}
	lua_setglobal(L, "arg");
	for (int i = 1; i < n; i++)
		lua_pushstring(L, words[i]);
	lua_call(L, n - 1, 0);
	return 0;
}

/* Runs a script in a new lua_State and closes that. Returns NULL or a message to be freed. */
static char *run(const char **words) {
	memset(&memory, 0, sizeof memory);
#if LUA_VERSION_NUM >= 505
	lua_State *L = lua_newstate(allocate, NULL, 1);
#else
	lua_State *L = lua_newstate(allocate, NULL);
#endif
	if (L == NULL)
		return strdup("no memory for a lua_State");
	lua_pushcfunction(L, run_script);
	lua_pushlightuserdata(L, words);
	char *message = NULL;
	if (lua_pcall(L, 1, 0, 0) != 0) {
		memset(&memory, 0, sizeof memory);
		lua_getglobal(L, "tostring");
		lua_insert(L, -2);
		message = strdup(lua_pcall(L, 1, 1, 0) == 0 && lua_isstring(L, -1) ? lua_tostring(L, -1) : "an error");
	}
	lua_close(L);
	return message;
}

/* The strings from `first` on, NULL at the end. They live as long as the stack's. */
static const char **words_at(lua_State *L, int first) {
	int n = lua_gettop(L) - first + 1;
	const char **words = lua_newuserdata(L, (size_t)(n + 1) * sizeof *words);
	for (int i = 0; i < n; i++)
		words[i] = luaL_checkstring(L, first + i);
	words[n] = NULL;
	return words;
}

/* run(script, ...) -> true | nil, message: in a lua_State of its own */
static int do_run(lua_State *L) {
	const char **words = words_at(L, 1);
	__typeof__(memory) mine = memory;
	char *message = run(words);
	memory = mine;
	if (message == NULL) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, message);
	free(message);
	return 2;
}

struct job {
	pthread_t thread;
	const char **words;
	int rounds;
	char *message;
};

static void *work(void *argument) {
	struct job *job = argument;
	for (int i = 0; i < job->rounds && job->message == NULL; i++)
		job->message = run(job->words);
	return NULL;
}

/* threads(n, rounds, script, ...) -> true | nil, message: each of n threads runs it so often, each time in a new state */
static int threads(lua_State *L) {
	int n = (int)luaL_checkinteger(L, 1);
	const char **words = words_at(L, 3);
	struct job *jobs = lua_newuserdata(L, (size_t)n * sizeof *jobs);
	for (int i = 0; i < n; i++) {
		jobs[i] = (struct job){.words = words, .rounds = (int)luaL_checkinteger(L, 2)};
		pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
	}
	int failed = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(jobs[i].thread, NULL);
		if (jobs[i].message != NULL && failed++ == 0) {
			lua_pushnil(L);
			lua_pushstring(L, jobs[i].message);
		}
		free(jobs[i].message);
	}
	if (failed > 0)
		return 2;
	lua_pushboolean(L, 1);
	return 1;
}

static void *hang_up(void *argument) {
	int listener = (int)(long)argument, peer;
	while ((peer = accept(listener, NULL, NULL)) >= 0) {
		struct linger reset = {.l_onoff = 1};
		setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(peer);
	}
	return NULL;
}

/* peer() -> port: a server that hangs up on everyone, so that a write meets a closed connection */
static int peer(lua_State *L) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;
	if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 128) != 0
		|| getsockname(listener, (struct sockaddr *)&address, &length) != 0
		|| pthread_create(&thread, NULL, hang_up, (void *)(long)listener) != 0)
		return luaL_error(L, "no server could be started");
	pthread_detach(thread);
	lua_pushinteger(L, ntohs(address.sin_port));
	return 1;
}

static int open_host(lua_State *L) {
	static const luaL_Reg functions[] = {
		{"fail", fail}, {"growths", growths}, {"limit", limit}, {"badclock", badclock}, {"clockleft", clockleft},
		{"usage", usage}, {"scan", scan}, {"sockets", sockets},
		{"fork", do_fork}, {"exit", do_exit}, {"wait", do_wait}, {"run", do_run}, {"threads", threads},
		{"peer", peer}, {"interrupt", interrupt}, {"tasks", tasks}, {NULL, NULL},
	};
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name != NULL; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}

int main(int argc, char **argv) {
	if (argc < 2)
		return 2;
	char *message = run((const char **)argv + 1);
	if (message == NULL)
		return 0;
	fprintf(stderr, "%s\n", message);
	free(message);
	return 1;
}
