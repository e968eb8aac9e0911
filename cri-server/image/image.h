// SPDX-License-Identifier: Apache-2.0
//
// CRI's ImageService on the storage driver.
#ifndef ZL_CRI_SERVER_IMAGE_IMAGE_H
#define ZL_CRI_SERVER_IMAGE_IMAGE_H

#include "cri-server/rpc/rpc.h"

zl_rpc_handler zl_handle_pull_image;
zl_rpc_handler zl_handle_list_images;
zl_rpc_handler zl_handle_stream_images;
zl_rpc_handler zl_handle_image_status;
zl_rpc_handler zl_handle_remove_image;
zl_rpc_handler zl_handle_image_fs_info;

#endif
