# SPDX-License-Identifier: Apache-2.0
# The devices of the lab's machines (e2e/lab/qemu.py), and those for driver zones: an IOMMU, a second NIC.
CONFIG_Q35=y
CONFIG_SERIAL_ISA=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_AMD_IOMMU=y
CONFIG_VTD=y
CONFIG_E1000_PCI=y
