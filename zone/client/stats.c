// SPDX-License-Identifier: Apache-2.0
#include "zone/client/stats.h"

#include <string.h>

#include "base/id.h"
#include "zone/client/session.h"

struct zl_zone_question {
	struct zl_zone_client *client;
	struct call call;
};

int zl_zone_stats_ask(struct zl_zone_client *client, const char *pod_cgroup, bool detail,
        struct zl_zone_question **ret, struct zl_error *err)
{
	Zl__Zone__StatsRequest stats = ZL__ZONE__STATS_REQUEST__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct zl_zone_question *question = calloc(1, sizeof(*question));
	int result;

	if (question == NULL)
		return zl_error_nomem(err);
	stats.pod_cgroup = (char *)(uintptr_t)pod_cgroup;
	stats.detail = detail;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_STATS;
	request.stats = &stats;
	question->client = client;
	question->call.expected = ZL__ZONE__FROM_ZONE__BODY_STATS;
	pthread_mutex_lock(&client->lock);
	result = zl_client_call_send(client, &request, &question->call, err);
	pthread_mutex_unlock(&client->lock);
	if (result < 0)
		free(question);
	else
		*ret = question;
	return result;
}

// ---- what may be believed

static bool valid_psi(const Zl__Zone__Psi *psi)
{
	return psi == NULL || (psi->avg10 <= 10000 && psi->avg60 <= 10000 && psi->avg300 <= 10000);
}

static bool valid_pressure(const Zl__Zone__Pressure *pressure)
{
	return pressure == NULL || (valid_psi(pressure->some) && valid_psi(pressure->full));
}

static bool valid_usage(const Zl__Zone__Usage *usage)
{
	return usage != NULL && usage->n_io <= ZL_ZONE_DEVICES_MAX &&
	       valid_pressure(usage->cpu_pressure) && valid_pressure(usage->memory_pressure) &&
	       valid_pressure(usage->io_pressure);
}

static bool valid_containers(const Zl__Zone__Stats *stats)
{
	if (stats->n_containers > ZL_ZONE_CONTAINERS_MAX)
		return false;
	for (size_t i = 0; i < stats->n_containers; i++) {
		if (!zl_id_valid(stats->containers[i]->id) ||
		        !valid_usage(stats->containers[i]->usage))
			return false;
	}
	return true;
}

static bool valid_interfaces(const Zl__Zone__Stats *stats)
{
	if (stats->n_interfaces > ZL_ZONE_INTERFACES_MAX)
		return false;
	for (size_t i = 0; i < stats->n_interfaces; i++) {
		size_t length = strlen(stats->interfaces[i]->name);

		if (length == 0 || length > 15)
			return false;
	}
	return true;
}

bool zl_zone_stats_valid(const Zl__Zone__Stats *stats)
{
	return valid_usage(stats->pod) && valid_containers(stats) && valid_interfaces(stats);
}

int zl_zone_stats_wait(struct zl_zone_question *question, const struct zl_cancel *cancel,
        const Zl__Zone__Stats **ret, struct zl_error *err)
{
	Zl__Zone__FromZone *reply = NULL;
	Zl__Zone__Stats *stats;
	int result = zl_client_call_wait(question->client, &question->call, cancel, &reply, err);

	free(question);
	if (result < 0)
		return -1;
	stats = zl_take(reply->stats);
	reply->body_case = ZL__ZONE__FROM_ZONE__BODY__NOT_SET;
	zl_zone_message_free(reply);
	if (zl_zone_stats_valid(stats)) {
		*ret = stats;
		return 0;
	}
	zl_zone_message_free(stats);
	return zl_error_set(err, ZL_DATA_LOSS, "the supervisor told of a usage that cannot be");
}

void zl_zone_stats_free(const Zl__Zone__Stats *stats)
{
	zl_zone_message_free((void *)(uintptr_t)stats);
}

int zl_zone_container_update(struct zl_zone_client *client, const char *id,
        const char *oci_resources, const struct zl_cancel *cancel, struct zl_error *err)
{
	Zl__Zone__ContainerUpdate update = ZL__ZONE__CONTAINER_UPDATE__INIT;
	Zl__Zone__ToZone request = ZL__ZONE__TO_ZONE__INIT;
	struct call call = {.expected = ZL__ZONE__FROM_ZONE__BODY_DONE};

	update.id = (char *)(uintptr_t)id;
	update.oci_resources = (char *)(uintptr_t)oci_resources;
	request.body_case = ZL__ZONE__TO_ZONE__BODY_CONTAINER_UPDATE;
	request.container_update = &update;
	return zl_client_call(client, &request, &call, cancel, NULL, err);
}
