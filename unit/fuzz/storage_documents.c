// SPDX-License-Identifier: Apache-2.0
//
// Manifest, index and image config: all readers get the same bytes.
#include <stdint.h>

#include "base/strv.h"
#include "storage-driver/image_config.h"
#include "storage-driver/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	zl_auto(strv) char **diff_ids = NULL;
	zl_auto(image) struct zl_image *image = NULL;
	struct zl_platform platform = {"linux", "amd64", ""};
	struct zl_error err = ZL_ERROR_INIT;

	if (zl_manifest_parse("m", data, size, NULL, &manifest, &err) == 0 &&
	        manifest.kind == ZL_MANIFEST_INDEX)
		(void)zl_manifest_choose("m", &manifest, &platform, &err);
	image = zl_image_config_parse("c", data, size, &diff_ids, &err);
	if (image != NULL) {
		(void)zl_image_config_check_platform("c", image, &platform, &err);
		zl_layers_unique(diff_ids);
	}
	return 0;
}
