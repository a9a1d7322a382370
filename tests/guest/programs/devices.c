/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of the board: PCI configuration space and a virtio device in it, clock and CMOS memory,
 * pvpanic, the test device.
 *
 * Spec: PCI Local Bus 3.0, 3.2.2.3 and 6.1; Virtio 1.2, 4.1; MC146818A; QEMU
 * docs/specs/pvpanic.txt.
 */
#include "guest.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_RNG    0x1044
#define SPARE_BAR     0xfe000000u /* where no board puts anything */

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

static uint32_t pci_read(unsigned slot, unsigned offset)
{
	outl(PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	return inl(PCI_DATA);
}

static void pci_write(unsigned slot, unsigned offset, uint32_t value)
{
	outl(PCI_ADDRESS, 0x80000000u | slot << 11 | (offset & 0xfc));
	outl(PCI_DATA, value);
}

static unsigned find_device(uint32_t id)
{
	for (unsigned slot = 0; slot < 32; slot++) {
		if (pci_read(slot, 0) == id)
			return slot;
	}
	return 32;
}

static void pci(void)
{
	outl(PCI_ADDRESS, 0x80000000);
	check_value("address-register-reads-back", inl(PCI_ADDRESS), 0x80000000);
	check_value("host-bridge-class", pci_read(0, 8) >> 16, 0x0600);
	check_value("host-bridge-vendor", pci_read(0, 0) & 0xffff, 0x8086);
	outl(PCI_ADDRESS, 0x80000000 | 29 << 11 | 5 << 8);
	check_value("nothing-there-is-all-ones", inl(PCI_DATA), 0xffffffff);
	outl(PCI_ADDRESS, 0x80000000);
	check_value("byte-access", inb(PCI_DATA) | (uint32_t)inb(PCI_DATA + 1) << 8,
		    pci_read(0, 0) & 0xffff);
	check_value("word-access", inw(PCI_DATA + 2), pci_read(0, 0) >> 16);
	outl(PCI_ADDRESS, 0);
	check_value("disabled-is-all-ones", inl(PCI_DATA), 0xffffffff);
}

/* The BAR's address; one without (no firmware ran) gets one. */
static uint64_t bar_address(unsigned slot, unsigned bar)
{
	unsigned offset = 0x10 + 4 * bar;
	uint32_t low = pci_read(slot, offset);
	bool wide = (low & 6) == 4;
	uint64_t address;

	if (!(low & ~0xfu) && !(wide && pci_read(slot, offset + 4))) {
		pci_write(slot, offset, SPARE_BAR);
		if (wide)
			pci_write(slot, offset + 4, 0);
	}
	pci_write(slot, 4, pci_read(slot, 4) | 6);
	address = pci_read(slot, offset) & ~0xfu;
	if (wide)
		address |= (uint64_t)pci_read(slot, offset + 4) << 32;
	return address;
}

/* Registers of the common structure. */
enum {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	STATUS = 20
};
enum { QUEUE_COUNT = 18, QUEUE_SELECT = 22, QUEUE_SIZE = 24, QUEUE_ENABLE = 28 };

static volatile uint8_t *common;

static uint32_t common32(unsigned offset)
{
	return *(volatile uint32_t *)(common + offset);
}

static void set_common32(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(common + offset) = value;
}

static void virtio(void)
{
	unsigned slot = find_device(VIRTIO_RNG << 16 | VIRTIO_VENDOR), kinds = 0;
	uint32_t size;

	check("virtio-rng-found", slot < 32);
	if (slot == 32)
		return;
	check_value("capability-list", pci_read(slot, 4) >> 20 & 1, 1);
	for (unsigned at = pci_read(slot, 0x34) & 0xfc, n = 0; at && n < 48; n++) {
		uint32_t head = pci_read(slot, at);

		if ((head & 0xff) == 9) {
			kinds |= 1u << (head >> 24);
			if (head >> 24 == 1)
				common = (volatile uint8_t *)(bar_address(slot,
									  pci_read(slot, at + 4) &
										  0xff) +
							      pci_read(slot, at + 8));
		}
		at = head >> 8 & 0xfc;
	}
	/* Common, notify, ISR, access through configuration space; the rng has no device structure
	 * to demand. */
	check_value("virtio-structures", kinds & 0x2e, 0x2e);
	if ((uintptr_t)common >= UINT64_C(0x100000000)) {
		uint64_t page = (uintptr_t)common & ~UINT64_C(0xfff);

		page_map(UINT64_C(0x60000000000), page, PAGE_P | PAGE_RW);
		common =
			(volatile uint8_t *)(UINT64_C(0x60000000000) + ((uintptr_t)common & 0xfff));
	}
	common[STATUS] = 0;
	check_value("reset", common[STATUS], 0);
	common[STATUS] = 1;
	common[STATUS] = 3;
	check_value("status-reads-back", common[STATUS], 3);
	set_common32(DEVICE_FEATURE_SELECT, 1);
	check_value("offers-version-1", common32(DEVICE_FEATURE) & 1, 1);
	set_common32(DRIVER_FEATURE_SELECT, 0);
	set_common32(DRIVER_FEATURE, 0);
	set_common32(DRIVER_FEATURE_SELECT, 1);
	set_common32(DRIVER_FEATURE, 1);
	common[STATUS] = 11;
	check_value("features-accepted", common[STATUS], 11);
	check_value("one-queue", *(volatile uint16_t *)(common + QUEUE_COUNT), 1);
	*(volatile uint16_t *)(common + QUEUE_SELECT) = 0;
	size = *(volatile uint16_t *)(common + QUEUE_SIZE);
	check("queue-size-power-of-two", size && !(size & (size - 1)));
	*(volatile uint16_t *)(common + QUEUE_SELECT) = 7;
	check_value("no-such-queue", *(volatile uint16_t *)(common + QUEUE_SIZE), 0);
	common[STATUS] = 0;
	check_value("reset-again", common[STATUS], 0);
}

static uint8_t cmos_read(uint8_t index)
{
	outb(CMOS_INDEX, index);
	return inb(CMOS_DATA);
}

static void cmos_write(uint8_t index, uint8_t value)
{
	outb(CMOS_INDEX, index);
	outb(CMOS_DATA, value);
}

static bool bcd_in(uint8_t value, uint8_t low, uint8_t high)
{
	return (value & 15) < 10 && value >= low && value <= high;
}

static bool wait_flag(uint8_t flag, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		if (cmos_read(0xc) & flag)
			return true;
		delay_us(1000);
	}
	return false;
}

static void clock(void)
{
	uint8_t second, b = cmos_read(0xb);

	check_value("clock-valid", cmos_read(0xd) & 0x80, 0x80);
	check_value("bcd-24-hours", b & 6, 2);
	/* Right behind an update all is stable for most of a second. */
	cmos_read(0xc);
	check("update-ends", wait_flag(0x10, 2500));
	second = cmos_read(0);
	check("seconds", bcd_in(second, 0, 0x59));
	check("minutes", bcd_in(cmos_read(2), 0, 0x59));
	check("hours", bcd_in(cmos_read(4), 0, 0x23));
	check("day", bcd_in(cmos_read(7), 1, 0x31));
	check("month", bcd_in(cmos_read(8), 1, 0x12));
	check("year", bcd_in(cmos_read(9), 0x24, 0x99));
	check_value("century", cmos_read(0x32), 0x20);
	check("next-update", wait_flag(0x10, 1500));
	check("seconds-advance", cmos_read(0) != second);
	check_value("flags-clear-when-read", cmos_read(0xc) & 0x10, 0);
	cmos_write(0xa, 0x26);
	cmos_write(0xb, b | 0x40);
	check("periodic-flag", wait_flag(0x40, 1000));
	cmos_write(0xb, b);
	cmos_write(0x70, 0x5c);
	cmos_write(0x71, 0xa3);
	check_value("memory", cmos_read(0x70) << 8 | cmos_read(0x71), 0x5ca3);
}

static void others(void)
{
	check_value("pvpanic-events", inb(0x505) & 3, 3); /* newer ones have more */
	outb(0xe0, 0x11);
	check_value("test-device-byte", inb(0xe0), 0x11);
	outl(0xe0, 0x12345678);
	check_value("test-device-long", inl(0xe0), 0x12345678);
	outw(0xe0, 0xbeef);
	check_value("test-device-word", inw(0xe0), 0xbeef);
	check_value("no-port-is-all-ones", inb(0x4e5) << 16 | inw(0x4e6), 0xffffff);
}

int main(void)
{
	pci();
	virtio();
	clock();
	others();
	return 0;
}
