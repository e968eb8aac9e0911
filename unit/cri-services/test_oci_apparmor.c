// SPDX-License-Identifier: Apache-2.0
//
// Which AppArmor profile a container gets.

// protobuf-c marks fields that CRI deprecates; apparmor_profile is still read.
#define PROTOBUF_C__NO_DEPRECATED

#include <stdint.h>

#include "cri-server/oci/apparmor.h"
#include "unit/cri-services/oci_input.h"

enum {
	DEFAULT = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault,
	UNCONFINED = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined,
	LOCALHOST = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
	NOTHING = -1,
};

#define LOADED                                                                                     \
	ZL_APPARMOR_DEFAULT                                                                        \
	" (enforce)\nmine-too (enforce)\nmine (complain)\nyours//child (enforce)\n"

struct request {
	int type; // of the newer field; NOTHING: not set
	const char *name;
	const char *deprecated;
	bool privileged;
};

static void fill(struct oci_input *input, const struct request *request)
{
	oci_input_init(input);
	input->context.privileged = request->privileged;
	input->pod_context.privileged = request->privileged;
	if (request->type != NOTHING) {
		input->profile.profile_type =
		        (Runtime__V1__SecurityProfile__ProfileType)request->type;
		if (request->name != NULL)
			input->profile.localhost_ref = (char *)(uintptr_t)request->name;
		input->context.apparmor = &input->profile;
	}
	if (request->deprecated != NULL)
		input->context.apparmor_profile = (char *)(uintptr_t)request->deprecated;
}

START_TEST(gives_what_is_asked_for)
{
	static const struct {
		struct request request;
		const char *profile; // NULL: none
	} cases[] = {
	        {{.type = NOTHING}, ZL_APPARMOR_DEFAULT},
	        {{.type = DEFAULT}, ZL_APPARMOR_DEFAULT},
	        {{.type = NOTHING, .deprecated = "runtime/default"}, ZL_APPARMOR_DEFAULT},
	        {{.type = NOTHING, .deprecated = "unconfined"}, NULL},
	        {{.type = UNCONFINED}, NULL},
	        {{.type = LOCALHOST, .name = "mine"}, "mine"},
	        {{.type = LOCALHOST, .name = "localhost/mine"}, "mine"},
	        {{.type = LOCALHOST, .name = "yours//child"}, "yours//child"},
	        {{.type = NOTHING, .deprecated = "localhost/mine-too"}, "mine-too"},
	        {{.type = LOCALHOST, .name = "mine", .deprecated = "localhost/missing"}, "mine"},
	        {{.type = UNCONFINED, .deprecated = "localhost/missing"}, NULL},
	        {{.type = NOTHING, .privileged = true}, NULL},
	        {{.type = DEFAULT, .privileged = true}, NULL},
	        {{.type = LOCALHOST, .name = "mine", .privileged = true}, "mine"},
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
		struct oci_input input;
		zl_auto(json) json_t *spec = NULL;
		char text[64];

		fill(&input, &cases[i].request);
		input.in.apparmor_profiles = LOADED;
		spec = oci_spec(&input);
		ck_assert_msg(
		        oci_has(spec, "process/apparmorProfile") == (cases[i].profile != NULL),
		        "case %zu", i);
		if (cases[i].profile == NULL)
			continue;
		(void)snprintf(text, sizeof(text), "\"%s\"", cases[i].profile);
		oci_equal(spec, "process/apparmorProfile", text);
	}
}
END_TEST

START_TEST(refuses_what_is_not_there)
{
	static const struct {
		struct request request;
		const char *profiles;
		bool zone;
		const char *reason;
	} cases[] = {
	        {{.type = LOCALHOST, .name = "mine"}, NULL, false,
	                "profile mine: this node's kernel has no"},
	        {{.type = LOCALHOST, .name = "mine"}, NULL, true,
	                "profile mine: a zone has a kernel of its own"},
	        {{.type = LOCALHOST, .name = "mine"}, "other (enforce)\n", false,
	                "mine is not loaded on this node: apparmor_parser -r"},
	        {{.type = LOCALHOST, .name = "mine"}, "mine-too (enforce)\n", false,
	                "mine is not loaded"},
	        {{.type = LOCALHOST, .name = "localhost/"}, LOADED, false, "not loaded"},
	        {{.type = NOTHING, .deprecated = "localhost/mine"}, "", false,
	                "mine is not loaded"},
	        {{.type = DEFAULT}, NULL, false,
	                ZL_APPARMOR_DEFAULT ": this node's kernel has no AppArmor"},
	        {{.type = DEFAULT}, "mine (enforce)\n", false,
	                ZL_APPARMOR_DEFAULT " is not loaded"},
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
		struct oci_input input;

		fill(&input, &cases[i].request);
		input.in.apparmor_profiles = cases[i].profiles;
		input.in.zone = cases[i].zone;
		oci_refused(&input, ZL_FAILED_PRECONDITION, cases[i].reason);
	}
}
END_TEST

START_TEST(does_without_where_nothing_was_asked_for)
{
	static const struct {
		struct request request;
		const char *profiles;
		bool zone;
	} cases[] = {
	        {{.type = NOTHING}, NULL, false},
	        {{.type = NOTHING}, "mine (enforce)\n", false},
	        {{.type = UNCONFINED}, NULL, false},
	        {{.type = NOTHING}, NULL, true},
	        {{.type = DEFAULT}, NULL, true},
	        {{.type = NOTHING, .deprecated = "runtime/default"}, NULL, true},
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
		struct oci_input input;
		zl_auto(json) json_t *spec = NULL;

		fill(&input, &cases[i].request);
		input.in.apparmor_profiles = cases[i].profiles;
		input.in.zone = cases[i].zone;
		spec = oci_spec(&input);
		ck_assert(!oci_has(spec, "process/apparmorProfile"));
	}
}
END_TEST

START_TEST(no_security_context_is_the_default)
{
	struct zl_apparmor_want here = zl_apparmor_wanted(NULL, false);
	struct zl_apparmor_want in_zone = zl_apparmor_wanted(NULL, true);

	ck_assert_str_eq(here.name, ZL_APPARMOR_DEFAULT);
	ck_assert(!here.asked);
	ck_assert_ptr_null(in_zone.name);
}
END_TEST

SUITE(oci_apparmor, gives_what_is_asked_for, refuses_what_is_not_there,
        does_without_where_nothing_was_asked_for, no_security_context_is_the_default)
