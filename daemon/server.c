/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket on sd-event.
 *
 * Guarantees:
 * 1. A peer costs at most: CONNS_PER_UID connections, VARLINK_CALL_MAX bytes of a message, OUT_MAX
 *    bytes of replies that it does not read (then it is cut off).
 * 2. Calls of a connection are answered one after the other, in order, as Varlink asks.
 * 3. A user's daemon talks to that user and root; others hear one sentence and are cut off. Who it is
 *    says the kernel (SO_PEERCRED), at the time of connect().
 * 4. A message that is no JSON object, or no call, ends its connection and no other.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utlist.h>

#include "cleanup.h"
#include "err.h"
#include "log.h"
#include "sys.h"

enum {
	CONNS_PER_UID = 512,
	CONNS = 4096,
	OUT_MAX = VARLINK_REPLY_MAX + (64 << 20),
	READ_CHUNK = 65536,
	LISTENERS = 4
};

struct conn {
	struct server *server;
	int fd;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	sd_event_source *io, *resume;
	struct varlink_reader reader;
	struct buf out;
	size_t sent;
	struct call *call; /* under way */
	bool eof, closing; /* no more comes; goes once all is written */
	struct conn *prev, *next;
};

struct server {
	struct server_options opt;
	sd_event_source *listeners[LISTENERS];
	size_t nlisteners;
	struct conn *conns;
	size_t nconns;
};

static void call_free(struct call *c)
{
	json_decref(c->msg);
	free(c);
}

/* The peer's end of the connection is no more; a call under way goes on without it. */
static void conn_free(struct conn *c)
{
	struct server *s = c->server;
	struct call *call = c->call;

	DL_DELETE(s->conns, c);
	s->nconns--;
	(void)sd_event_source_disable_unref(c->io);
	(void)sd_event_source_disable_unref(c->resume);
	(void)safe_close(c->fd);
	varlink_reader_release(&c->reader);
	buf_release(&c->out);
	free(c);
	if (!call)
		return;
	call->conn = NULL;
	if (call->gone)
		call->gone(call, call->user);
}

static size_t conn_pending(const struct conn *c)
{
	return c->out.len - c->sent;
}

static void conn_watch(struct conn *c)
{
	uint32_t events = conn_pending(c) > 0 ? EPOLLOUT : 0;

	if (!c->eof && !c->closing && c->reader.buf.len - c->reader.start < VARLINK_CALL_MAX)
		events |= EPOLLIN;
	(void)sd_event_source_set_io_events(c->io, events); /* fails only for a closed descriptor */
}

/* Writes what it takes. Errors: -errno, the connection is of no more use. */
static int conn_flush(struct conn *c)
{
	while (conn_pending(c) > 0) {
		ssize_t n = send(c->fd, c->out.data + c->sent, conn_pending(c),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		c->sent += (size_t)n;
	}
	buf_release(&c->out);
	c->sent = 0;
	return 0;
}

/* Queues a message (consumed) and writes what goes at once. Frees nothing: errors show in io. */
static void conn_send(struct conn *c, json_t *msg)
{
	int r = msg ? varlink_encode(msg, &c->out) : -ENOMEM;

	json_decref(msg);
	if (r == 0)
		r = conn_flush(c);
	if (r == 0 && conn_pending(c) > OUT_MAX)
		r = -EMSGSIZE;
	if (r < 0) {
		log_debug("a reply to pid %d is lost: %s", (int)c->pid, strerror(-r));
		buf_release(&c->out);
		c->sent = 0;
		c->closing = true;
		(void)shutdown(c->fd, SHUT_RDWR);
	}
	conn_watch(c);
}

static int on_resume(sd_event_source *s, void *user);

/* Goes on with the messages that came in meanwhile, from the event loop. */
static void conn_resume(struct conn *c)
{
	if (c->resume)
		(void)sd_event_source_set_enabled(c->resume, SD_EVENT_ONESHOT);
	else if (sd_event_add_defer(c->server->opt.event, &c->resume, on_resume, c) < 0)
		(void)shutdown(c->fd, SHUT_RDWR);
}

static void end_call(struct call *c, json_t *reply, const struct fault *f)
{
	struct conn *conn = c->conn;

	if (c->ended)
		c->ended(c, f, c->ended_user);
	if (conn) {
		conn->call = NULL;
		if (c->in.oneway)
			json_decref(reply);
		else
			conn_send(conn, reply);
		conn_resume(conn);
	} else {
		json_decref(reply);
	}
	call_free(c);
}

void call_reply(struct call *c, json_t *parameters)
{
	end_call(c, varlink_reply_new(parameters, false), NULL);
}

void call_reply_more(struct call *c, json_t *parameters)
{
	if (c->conn && !c->in.oneway)
		conn_send(c->conn, varlink_reply_new(parameters, true));
	else
		json_decref(parameters);
}

void call_fault(struct call *c, struct fault *f)
{
	const char *text = f->message ? f->message : "no memory";

	end_call(c,
		 varlink_error_new(f->id ? f->id : "Internal", text, f->remedy,
				   json_incref(f->details)),
		 f);
	fault_release(f);
}

void call_service_error(struct call *c, const char *id, const char *key, const char *value)
{
	json_t *p = key ? json_pack("{s:s}", key, value) : json_object();

	end_call(c, json_pack("{s:s+,s:o}", "error", VARLINK_SERVICE ".", id, "parameters", p),
		 NULL);
}

size_t call_pending(const struct call *c)
{
	return c->conn ? conn_pending(c->conn) : 0;
}

/* Takes the next message as a call. Errors: -EBADMSG the peer does not speak Varlink. */
static int conn_dispatch(struct conn *c, json_t *msg)
{
	struct call *call = sys_calloc(1, sizeof(*call));
	int r;

	if (!call) {
		json_decref(msg);
		return -ENOMEM;
	}
	call->msg = msg;
	r = varlink_call_parse(msg, &call->in);
	if (r < 0) {
		call_free(call);
		return r;
	}
	call->conn = c;
	call->uid = c->uid;
	call->gid = c->gid;
	call->pid = c->pid;
	c->call = call;
	c->server->opt.dispatch(call, c->server->opt.user);
	return 0;
}

/* May free the connection. */
static void conn_process(struct conn *c)
{
	json_t *msg;
	int r = 0;

	if (!c->call && !c->closing) {
		r = varlink_reader_next(&c->reader, &msg);
		if (r == 1)
			r = conn_dispatch(c, msg);
		else if (r == 0 && c->eof && conn_pending(c) == 0)
			r = -ECONNRESET;
	}
	if (r < 0) {
		if (r != -ECONNRESET)
			log_debug("pid %d sent what is no call (%s), cut off", (int)c->pid,
				  strerror(-r));
		conn_free(c);
		return;
	}
	conn_watch(c);
}

static int on_resume(sd_event_source *s, void *user)
{
	conn_process(user);
	return 0;
}

/* Errors: -errno, -EMSGSIZE; 0 also at the end of what comes. */
static int conn_read(struct conn *c)
{
	char chunk[READ_CHUNK];
	ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		c->eof = true;
	return n > 0 ? varlink_reader_feed(&c->reader, chunk, (size_t)n) : 0;
}

static int on_conn(sd_event_source *s, int fd, uint32_t events, void *user)
{
	struct conn *c = user;
	size_t before = conn_pending(c);
	int r = events & (EPOLLHUP | EPOLLERR) ? -ECONNRESET : 0;

	/* What a peer sent before it went away is still done: oneway calls. */
	if (events & EPOLLIN)
		r = conn_read(c);
	if (r == 0 && (events & EPOLLOUT))
		r = conn_flush(c);
	if (r == 0 && c->closing && conn_pending(c) == 0)
		r = -ECONNRESET;
	if (r < 0) {
		conn_free(c);
		return 0;
	}
	if (before > 0 && conn_pending(c) == 0 && c->call && c->call->drained)
		c->call->drained(c->call, c->call->user);
	conn_process(c);
	return 0;
}

/* Says one sentence and closes: to those whom we do not serve. */
static void turn_away(int fd, const char *id, const char *text)
{
	json_t *msg = varlink_error_new(id, text, NULL, NULL);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (msg && varlink_encode(msg, &b) == 0)
		(void)!send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	json_decref(msg);
	/* Closing with unread bytes would reset the connection and take the sentence along. */
	(void)shutdown(fd, SHUT_RDWR);
	(void)safe_close(fd);
}

static const char *refusal(const struct server *s, uid_t uid, const char **ret_id)
{
	const struct conn *c;
	size_t same = 0;

	DL_FOREACH (s->conns, c)
		same += c->uid == uid;
	*ret_id = "Busy";
	if (s->nconns >= CONNS)
		return "the daemon has too many connections: try again later";
	if (same >= CONNS_PER_UID)
		return "you have too many connections to the daemon: close some";
	*ret_id = "Denied";
	if (s->opt.uid != 0 && uid != 0 && uid != s->opt.uid)
		return "this daemon belongs to another user: start one of your own";
	return NULL;
}

static int conn_new(struct server *s, int fd, const struct ucred *cred)
{
	struct conn *c = sys_calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = sd_event_add_io(s->opt.event, &c->io, fd, EPOLLIN, on_conn, c);
	if (r < 0) {
		free(c);
		return r;
	}
	c->server = s;
	c->fd = fd;
	c->uid = cred->uid;
	c->gid = cred->gid;
	c->pid = cred->pid;
	c->reader.max = VARLINK_CALL_MAX;
	DL_APPEND(s->conns, c);
	s->nconns++;
	return 0;
}

static int on_accept(sd_event_source *src, int lfd, uint32_t events, void *user)
{
	struct server *s = user;
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	const char *text, *id;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warning(-errno, "cannot accept a connection, ignoring");
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		(void)safe_close(fd);
		return 0;
	}
	text = refusal(s, cred.uid, &id);
	if (text) {
		turn_away(fd, id, text);
		return 0;
	}
	r = conn_new(s, fd, &cred);
	if (r < 0)
		turn_away(fd, "Internal", "the daemon has no memory for another connection");
	return 0;
}

int server_new(const struct server_options *opt, struct server **ret)
{
	struct server *s = sys_calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	*ret = s;
	return 0;
}

int server_adopt(struct server *s, int fd, struct err *reterr)
{
	int r;

	if (s->nlisteners == LISTENERS)
		return err_set(reterr, -E2BIG, "more than %d sockets were handed over", LISTENERS);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_set(reterr, -errno, "cannot use the socket");
	r = sd_event_add_io(s->opt.event, &s->listeners[s->nlisteners], fd, EPOLLIN, on_accept, s);
	if (r < 0)
		return err_set(reterr, r, "cannot watch the socket");
	(void)sd_event_source_set_io_fd_own(s->listeners[s->nlisteners++], 1);
	return 0;
}

/* A socket file on which nobody answers is removed. */
static int remove_dead(const struct sockaddr_un *a, struct err *reterr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(reterr, -errno, "cannot look at '%s'", a->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(reterr, -EEXIST, "'%s' is in the way and no socket", a->sun_path);
	if (fd < 0)
		return err_set(reterr, -errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN)
		return err_set(reterr, -EADDRINUSE, "a daemon listens on '%s' already",
			       a->sun_path);
	return unlink(a->sun_path) < 0 ? err_set(reterr, -errno, "cannot remove '%s'", a->sun_path)
				       : 0;
}

/* Root's socket is for the group agentfs; where there is no such group, for root alone. */
static void give_to_group(const char *path)
{
	const struct group *g = getgrnam("agentfs");

	if (!g) {
		log_notice("there is no group agentfs: only root may use '%s'", path);
		return;
	}
	if (chown(path, 0, g->gr_gid) < 0 || chmod(path, 0660) < 0)
		log_warning(-errno, "cannot give '%s' to the group agentfs, ignoring", path);
}

int server_listen(struct server *s, const char *path, struct err *reterr)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(reterr, -ENAMETOOLONG,
			       "the socket path '%s' is longer than %zu bytes: "
			       "choose a shorter --run",
			       path, sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path));
	r = remove_dead(&a, reterr);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(reterr, -errno, "cannot make a socket");
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r == 0 && s->opt.uid == 0)
		give_to_group(path);
	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (r < 0)
		return err_set(reterr, r, "cannot listen on '%s'", path);
	return server_adopt(s, TAKE_FD(fd), reterr);
}

void server_close_listeners(struct server *s)
{
	while (s->nlisteners > 0)
		(void)sd_event_source_disable_unref(s->listeners[--s->nlisteners]);
}

void server_free(struct server *s)
{
	struct conn *c, *tmp;

	if (!s)
		return;
	server_close_listeners(s);
	DL_FOREACH_SAFE (s->conns, c, tmp) {
		struct call *call = c->call;

		if (call) { /* nobody will end it any more */
			call->gone = NULL;
			call->conn = NULL;
			c->call = NULL;
		}
		conn_free(c);
	}
	free(s);
}
