// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/id.h"
#include "zone/client/session.h"

// protobuf-c's members are not const; packing only reads them.
static char *text(const char *string)
{
	static char empty[] = "";

	return string != NULL ? (char *)(uintptr_t)string : empty;
}

// Sends a request whose reply is "done".
static int call_done(struct zl_zone_client *client, Zl__Zone__ToZone *request,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_DONE};

	return zl_client_call(client, request, &call, cancel, NULL, err);
}

// ---- configure

// Submessages of a Configure, in one allocation each.
struct configure {
	Zl__Zone__Configure message;
	Zl__Zone__Interface *interfaces;
	Zl__Zone__Interface **interface_list;
	Zl__Zone__Address *addresses;
	Zl__Zone__Address **address_list;
	Zl__Zone__Route *routes;
	Zl__Zone__Route **route_list;
	Zl__Zone__Sysctl *sysctls;
	Zl__Zone__Sysctl **sysctl_list;
};

static void configure_release(struct configure *c)
{
	free(c->interfaces);
	free((void *)c->interface_list);
	free(c->addresses);
	free((void *)c->address_list);
	free(c->routes);
	free((void *)c->route_list);
	free(c->sysctls);
	free((void *)c->sysctl_list);
}

static void *zeroed(size_t count, size_t size)
{
	return calloc(count > 0 ? count : 1, size);
}

static int configure_allocate(
        struct configure *c, const struct zl_zone_config *config, struct zl_error *err)
{
	size_t addresses = 0;
	size_t routes = 0;

	for (size_t i = 0; i < config->interface_count; i++) {
		addresses += config->interfaces[i].address_count;
		routes += config->interfaces[i].route_count;
	}
	c->interfaces = zeroed(config->interface_count, sizeof(*c->interfaces));
	c->interface_list = zeroed(config->interface_count, sizeof(*c->interface_list));
	c->addresses = zeroed(addresses, sizeof(*c->addresses));
	c->address_list = zeroed(addresses, sizeof(*c->address_list));
	c->routes = zeroed(routes, sizeof(*c->routes));
	c->route_list = zeroed(routes, sizeof(*c->route_list));
	c->sysctls = zeroed(config->sysctl_count, sizeof(*c->sysctls));
	c->sysctl_list = zeroed(config->sysctl_count, sizeof(*c->sysctl_list));
	if (c->interfaces == NULL || c->interface_list == NULL || c->addresses == NULL ||
	        c->address_list == NULL || c->routes == NULL || c->route_list == NULL ||
	        c->sysctls == NULL || c->sysctl_list == NULL)
		return zl_error_nomem(err);
	return 0;
}

// Fills interface i; its addresses and routes begin at these indexes of the shared arrays.
static void fill_interface(struct configure *c, size_t i, const struct zl_zone_interface *from,
        size_t address, size_t route)
{
	Zl__Zone__Interface *to = &c->interfaces[i];

	zl__zone__interface__init(to);
	to->name = text(from->name);
	to->mac = text(from->mac);
	to->set_mac = text(from->set_mac);
	to->mtu = from->mtu;
	to->n_addresses = from->address_count;
	to->addresses = c->address_list + address;
	for (size_t k = 0; k < from->address_count; k++) {
		zl__zone__address__init(&c->addresses[address + k]);
		c->addresses[address + k].cidr = text(from->addresses[k].cidr);
		c->address_list[address + k] = &c->addresses[address + k];
	}
	to->n_routes = from->route_count;
	to->routes = c->route_list + route;
	for (size_t k = 0; k < from->route_count; k++) {
		zl__zone__route__init(&c->routes[route + k]);
		c->routes[route + k].destination = text(from->routes[k].destination);
		c->routes[route + k].gateway = text(from->routes[k].gateway);
		c->route_list[route + k] = &c->routes[route + k];
	}
	c->interface_list[i] = to;
}

static void configure_fill(struct configure *c, const struct zl_zone_config *config)
{
	Zl__Zone__Configure *m = &c->message;
	size_t address = 0;
	size_t route = 0;

	zl__zone__configure__init(m);
	for (size_t i = 0; i < config->interface_count; i++) {
		fill_interface(c, i, &config->interfaces[i], address, route);
		address += config->interfaces[i].address_count;
		route += config->interfaces[i].route_count;
	}
	for (size_t i = 0; i < config->sysctl_count; i++) {
		zl__zone__sysctl__init(&c->sysctls[i]);
		c->sysctls[i].name = text(config->sysctls[i].name);
		c->sysctls[i].value = text(config->sysctls[i].value);
		c->sysctl_list[i] = &c->sysctls[i];
	}
	m->hostname = text(config->hostname);
	m->n_interfaces = config->interface_count;
	m->interfaces = c->interface_list;
	m->n_sysctls = config->sysctl_count;
	m->sysctls = c->sysctl_list;
	m->resolv_conf = text(config->resolv_conf);
	m->scratch_device = text(config->scratch_device);
	m->scratch_path = text(config->scratch_path);
	m->realtime_ns = config->realtime_ns;
	m->shm_bytes = config->shm_bytes;
	m->entropy.data = (uint8_t *)(uintptr_t)config->entropy;
	m->entropy.len = config->entropy_length;
}

int zl_zone_configure(struct zl_zone_client *client, const struct zl_zone_config *config,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct configure c = {.interfaces = NULL};
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	int result = configure_allocate(&c, config, err);

	if (result == 0) {
		configure_fill(&c, config);
		request.body_case = ZL__ZONE__TO_ZONE__BODY_CONFIGURE;
		request.configure = &c.message;
		result = call_done(client, &request, cancel, err);
	}
	configure_release(&c);
	return result;
}

int zl_zone_shutdown(
        struct zl_zone_client *client, const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__Shutdown shutdown = ZL__ZONE__SHUTDOWN__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	request.body_case = ZL__ZONE__TO_ZONE__BODY_SHUTDOWN;
	request.shutdown = &shutdown;
	return call_done(client, &request, cancel, err);
}

// ---- containers

// Sends a request that belongs to a process in the table; its id finds the process when the reply
// comes.
static int send_for(struct zl_zone_client *client, struct process *process,
        Zl__Zone__ToZone *request, struct call *call, struct zl_error *err)
{
	if (zl_client_call_send(client, request, call, err) < 0)
		return -1;
	if (process != NULL)
		process->request = call->id;
	return 0;
}

// Nobody waits for this exec any more.
static void abandon(struct zl_zone_client *client, const char *container_id, const char *exec_id)
{
	struct process *process;

	pthread_mutex_lock(&client->lock);
	process = zl_process_find(client, container_id, exec_id);
	if (process != NULL) {
		atomic_store(&process->abandoned, true);
		// Else it is killed when the supervisor says that it is there.
		if (process->opened)
			(void)zl_client_kill_exec(client, process, NULL);
	}
	pthread_mutex_unlock(&client->lock);
}

// The process is in the table before the request goes, so that nothing the zone says of it can come
// too early.
static int call_open(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        Zl__Zone__ToZone *request, const struct zl_cancel *cancel, Zl__Zone__FromZone **ret_reply,
        struct zl_error *err)
{
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_OPENED};
	struct process *process;
	int result = -1;

	pthread_mutex_lock(&client->lock);
	process = zl_process_add(client, container_id, exec_id, err);
	if (process != NULL) {
		result = send_for(client, process, request, &call, err);
		if (result < 0)
			zl_process_free(client, process);
	}
	pthread_mutex_unlock(&client->lock);
	if (result == 0)
		result = zl_client_call_wait(client, &call, cancel, ret_reply, err);
	if (result < 0 && process != NULL && exec_id != NULL)
		abandon(client, container_id, exec_id);
	return result;
}

// The spec travels as one protobuf string.
static int check_json(const char *what, const char *json, struct zl_error *err)
{
	if (json == NULL || strlen(json) > ZL_ZONE_MESSAGE_TO_ZONE_MAX / 2)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the %s is missing or longer than %d bytes", what,
		        ZL_ZONE_MESSAGE_TO_ZONE_MAX / 2);
	return 0;
}

static void fill_user(Zl__Zone__UserWanted *to, const struct zl_zone_container *from)
{
	to->name = text(from->user);
	to->has_group = from->has_group;
	to->group = from->group;
	to->supplemental_groups = (uint32_t *)(uintptr_t)from->supplemental_groups;
	to->n_supplemental_groups = from->supplemental_group_count;
	to->merge_groups = from->merge_groups;
}

static int copy_user(struct zl_zone_user *to, const Zl__Zone__User *from, struct zl_error *err)
{
	if (from == NULL || from->n_groups > ZL_ARRAY_SIZE(to->groups))
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the supervisor did not say who the container's user is, or named too "
		        "many groups");
	to->uid = from->uid;
	to->gid = from->gid;
	to->group_count = from->n_groups;
	if (from->n_groups > 0)
		memcpy(to->groups, from->groups, from->n_groups * sizeof(to->groups[0]));
	return 0;
}

// Volumes as the message has them; the strings are the container's.
struct volumes {
	Zl__Zone__ImageVolume messages[ZL_ZONE_IMAGE_VOLUMES_MAX];
	Zl__Zone__ImageVolume *list[ZL_ZONE_IMAGE_VOLUMES_MAX];
};

static int fill_volumes(Zl__Zone__ContainerCreate *create, struct volumes *volumes,
        const struct zl_zone_container *container, struct zl_error *err)
{
	size_t count = container->image_volume_count;

	if (count > ZL_ZONE_IMAGE_VOLUMES_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a container has at most %d image volumes", ZL_ZONE_IMAGE_VOLUMES_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *const *files = container->image_volumes[i].image_files;
		Zl__Zone__ImageVolume *message = &volumes->messages[i];

		zl__zone__image_volume__init(message);
		message->image_device = text(container->image_volumes[i].image_device);
		while (files != NULL && files[message->n_image_files] != NULL)
			message->n_image_files++;
		message->image_files = (char **)(uintptr_t)files;
		message->sub_path = text(container->image_volumes[i].sub_path);
		volumes->list[i] = message;
	}
	create->image_volumes = volumes->list;
	create->n_image_volumes = count;
	return 0;
}

int zl_zone_container_create(struct zl_zone_client *client,
        const struct zl_zone_container *container, struct zl_zone_user *ret_user,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerCreate create = ZL__ZONE__CONTAINER_CREATE__INIT;
	Zl__Zone__UserWanted user = ZL__ZONE__USER_WANTED__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	Zl__Zone__FromZone *reply = NULL;
	const char *const *files = container->rootfs.image_files;
	struct volumes volumes;
	int result;

	if (check_json("OCI spec", container->oci_spec, err) < 0 ||
	        fill_volumes(&create, &volumes, container, err) < 0)
		return -1;
	fill_user(&user, container);
	create.id = text(container->id);
	create.image_device = text(container->rootfs.image_device);
	while (files != NULL && files[create.n_image_files] != NULL)
		create.n_image_files++;
	create.image_files = (char **)(uintptr_t)files;
	create.readonly = container->rootfs.readonly;
	create.oci_spec = text(container->oci_spec);
	create.share_tag = text(container->share_tag);
	create.share_name = text(container->share_name);
	create.stdin_open = container->stdin_open;
	create.stdin_once = container->stdin_once;
	create.terminal = container->terminal;
	create.user = &user;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_CREATE;
	request.container_create = &create;
	if (call_open(client, container->id, NULL, &request, cancel, &reply, err) < 0)
		return -1;
	result = ret_user == NULL ? 0 : copy_user(ret_user, reply->opened->user, err);
	zl_zone_message_free(reply);
	return result;
}

int zl_zone_container_start(struct zl_zone_client *client, const char *id, int32_t *ret_pid,
        int64_t *ret_started_ns, const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerStart start = ZL__ZONE__CONTAINER_START__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_STARTED};
	Zl__Zone__FromZone *reply = NULL;

	start.id = text(id);
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_START;
	request.container_start = &start;
	if (zl_client_call(client, &request, &call, cancel, &reply, err) < 0)
		return -1;
	*ret_pid = reply->started->pid;
	*ret_started_ns = reply->started->started_at_ns;
	zl_zone_message_free(reply);
	return 0;
}

int zl_zone_container_signal(struct zl_zone_client *client, const char *id, int signal, bool all,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerSignal message = ZL__ZONE__CONTAINER_SIGNAL__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	message.id = text(id);
	message.signal = signal;
	message.all = all;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_SIGNAL;
	request.container_signal = &message;
	return call_done(client, &request, cancel, err);
}

int zl_zone_container_delete(struct zl_zone_client *client, const char *id,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerDelete message = ZL__ZONE__CONTAINER_DELETE__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_DONE};
	int result;

	message.id = text(id);
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_DELETE;
	request.container_delete = &message;
	pthread_mutex_lock(&client->lock);
	result = send_for(client, zl_process_find(client, id, NULL), &request, &call, err);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		return -1;
	return zl_client_call_wait(client, &call, cancel, NULL, err);
}

static int copy_status(
        struct zl_zone_status *to, const Zl__Zone__Container *from, struct zl_error *err)
{
	static const enum zl_zone_state states[] = {
	        [ZL__ZONE__STATE__CREATED] = ZL_ZONE_CREATED,
	        [ZL__ZONE__STATE__STARTED] = ZL_ZONE_STARTED,
	        [ZL__ZONE__STATE__EXITED] = ZL_ZONE_EXITED,
	};

	if (!zl_id_valid(from->id) || (unsigned)from->state >= ZL_ARRAY_SIZE(states) ||
	        from->exit_code < 0 || from->exit_code > 255)
		return zl_error_set(err, ZL_DATA_LOSS,
		        "the supervisor lists a container that cannot be: %.64s", from->id);
	*to = (struct zl_zone_status){
	        .state = states[from->state],
	        .pid = from->pid,
	        .exit_code = from->exit_code,
	        .oom_killed = from->oom_killed != 0,
	        .started_at_ns = from->started_at_ns,
	        .finished_at_ns = from->finished_at_ns,
	};
	memcpy(to->id, from->id, ZL_ID_SIZE);
	return 0;
}

static int copy_list(const Zl__Zone__Containers *from, struct zl_zone_status **ret,
        size_t *ret_count, struct zl_error *err)
{
	struct zl_zone_status *list;
	int result = 0;

	if (from->n_containers > ZL_ZONE_CONTAINERS_MAX)
		return zl_error_set(err, ZL_DATA_LOSS, "the supervisor lists %zu containers",
		        from->n_containers);
	list = zeroed(from->n_containers, sizeof(*list));
	if (list == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < from->n_containers && result == 0; i++)
		result = copy_status(&list[i], from->containers[i], err);
	if (result < 0) {
		free(list);
		return -1;
	}
	*ret_count = from->n_containers;
	*ret = list;
	return 0;
}

int zl_zone_container_list(struct zl_zone_client *client, struct zl_zone_status **ret,
        size_t *ret_count, const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerList message = ZL__ZONE__CONTAINER_LIST__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_CONTAINERS};
	Zl__Zone__FromZone *reply = NULL;
	int result;

	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_LIST;
	request.container_list = &message;
	if (zl_client_call(client, &request, &call, cancel, &reply, err) < 0)
		return -1;
	result = copy_list(reply->containers, ret, ret_count, err);
	zl_zone_message_free(reply);
	return result;
}

// ---- output after a reconnect

static int seek_output(struct output *output, uint64_t offset, struct zl_error *err)
{
	if (offset < output->in.next || offset > output->produced)
		return zl_error_set(err, ZL_OUT_OF_RANGE,
		        "output of container %.12s cannot go on at byte %" PRIu64
		        ": the supervisor has bytes %" PRIu64 " to %" PRIu64,
		        output->process->container_id, offset, output->in.next, output->produced);
	output->in.next = offset;
	output->in.consumed = offset;
	output->ack_due = true;
	return 0;
}

int zl_zone_stream_seek(struct zl_zone_client *client, const char *container_id,
        enum zl_zone_stream stream, uint64_t offset, struct zl_error *err)
{
	struct output *output = NULL;
	struct process *process;
	int result;

	pthread_mutex_lock(&client->lock);
	process = zl_process_find(client, container_id, NULL);
	if (process != NULL)
		output = process->outputs[stream - ZL_ZONE_STDOUT];
	if (output != NULL)
		result = seek_output(output, offset, err);
	else
		result = zl_error_set(
		        err, ZL_NOT_FOUND, "container %.12s has no such output", container_id);
	pthread_mutex_unlock(&client->lock);
	return result;
}

int zl_zone_client_resume(struct zl_zone_client *client, struct zl_error *err)
{
	Zl__Zone__Resume message = ZL__ZONE__RESUME__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	int result = 0;

	request.body_case = ZL__ZONE__TO_ZONE__BODY_RESUME;
	request.resume = &message;
	pthread_mutex_lock(&client->lock);
	if (!client->resumed) {
		// First where each stream goes on, then the word to go on.
		result = zl_output_acknowledge(client, err);
		if (result == 0)
			result = zl_client_post(client, &request, err);
		client->resumed = result == 0;
	}
	client->offer = true;
	pthread_mutex_unlock(&client->lock);
	zl_loop_task_wake(&client->task);
	return result;
}

// ---- exec

int zl_zone_exec_start(struct zl_zone_client *client, const struct zl_zone_exec *exec,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ExecStart start = ZL__ZONE__EXEC_START__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	if (check_json("OCI process", exec->oci_process, err) < 0)
		return -1;
	start.container_id = text(exec->container_id);
	start.exec_id = text(exec->exec_id);
	start.oci_process = text(exec->oci_process);
	start.stdin_open = exec->stdin_open;
	start.terminal = exec->terminal;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_EXEC_START;
	request.exec_start = &start;
	return call_open(client, exec->container_id, exec->exec_id, &request, cancel, NULL, err);
}

int zl_zone_exec_kill(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ExecKill message = ZL__ZONE__EXEC_KILL__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	message.container_id = text(container_id);
	message.exec_id = text(exec_id);
	request.body_case = ZL__ZONE__TO_ZONE__BODY_EXEC_KILL;
	request.exec_kill = &message;
	return call_done(client, &request, cancel, err);
}

int zl_zone_resize(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        uint32_t columns, uint32_t rows, const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__Resize message = ZL__ZONE__RESIZE__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	message.container_id = text(container_id);
	message.exec_id = text(exec_id);
	message.columns = columns;
	message.rows = rows;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_RESIZE;
	request.resize = &message;
	return call_done(client, &request, cancel, err);
}

int zl_zone_resize_post(struct zl_zone_client *client, const char *container_id,
        const char *exec_id, uint32_t columns, uint32_t rows, struct zl_error *err)
{
	Zl__Zone__Resize message = ZL__ZONE__RESIZE__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	int result;

	message.container_id = text(container_id);
	message.exec_id = text(exec_id);
	message.columns = columns;
	message.rows = rows;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_RESIZE;
	request.resize = &message;
	pthread_mutex_lock(&client->lock);
	result = zl_client_post(client, &request, err);
	pthread_mutex_unlock(&client->lock);
	return result;
}

int zl_zone_hang_up(struct zl_zone_client *client, const char *container_id, const char *exec_id,
        struct zl_error *err)
{
	struct process *process;
	int result = 0;

	pthread_mutex_lock(&client->lock);
	process = zl_process_find(client, container_id, exec_id);
	if (process != NULL && !client->ended) {
		atomic_store(&process->abandoned, true);
		result = zl_client_hang_up(client, process, err);
	}
	pthread_mutex_unlock(&client->lock);
	return result;
}

int zl_zone_connect(struct zl_zone_client *client, const char *connection_id, uint16_t port,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__Connect connect = ZL__ZONE__CONNECT__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;

	connect.connection_id = text(connection_id);
	connect.port = port;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONNECT;
	request.connect = &connect;
	return call_open(client, "", connection_id, &request, cancel, NULL, err);
}
