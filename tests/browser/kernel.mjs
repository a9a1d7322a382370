// SPDX-License-Identifier: GPL-2.0-or-later
// A kernel of a few bytes: it greets on the first serial port, then sends back what it receives, or rests.
import { writeFile } from 'node:fs/promises';

export const GREETING = 'hello from the machine';

const LOAD = 0x100000;
const bytes = (text) => Buffer.from(text.replace(/\s+/g, ''), 'hex');

const print = bytes(
	'48 8d 35 00000000' + // lea rsi, [rip + the greeting]
		'ac  84 c0  74 14' + // next: lodsb; test al, al; jz echo
		'88 c4  66 ba fd 03' + // mov ah, al; mov dx, 0x3fd
		'ec  a8 20  74 fb' + // wait: in al, dx; test al, 32; jz wait
		'66 ba f8 03  88 e0  ee  eb e7', // mov dx, 0x3f8; mov al, ah; out dx, al; jmp next
);
const echo = bytes('66 ba fd 03  ec  a8 01  74 f7  66 ba f8 03  ec  ee  eb ef');
/** Of these, many run at once and take nothing. */
export const rest = bytes('f4  eb fd'); // hlt; jmp

/** Spec: ELF-64; one segment, entered in long mode; `then` is what it does when it has greeted. */
export async function writeKernel(path, then = echo) {
	const code = Buffer.concat([print, then, Buffer.from(`${GREETING}\r\n\0`, 'latin1')]);
	code.writeInt32LE(print.length + then.length - 7, 3);
	const offset = 64 + 56;
	const head = Buffer.alloc(offset);
	head.write('\x7fELF\x02\x01\x01', 'latin1');
	head.writeUInt16LE(2, 16);
	head.writeUInt16LE(62, 18);
	head.writeUInt32LE(1, 20);
	head.writeBigUInt64LE(BigInt(LOAD + offset), 24);
	head.writeBigUInt64LE(64n, 32);
	head.writeUInt16LE(64, 52);
	head.writeUInt16LE(56, 54);
	head.writeUInt16LE(1, 56);
	head.writeUInt32LE(1, 64);
	head.writeUInt32LE(7, 68);
	head.writeBigUInt64LE(BigInt(LOAD), 80);
	head.writeBigUInt64LE(BigInt(LOAD), 88);
	head.writeBigUInt64LE(BigInt(offset + code.length), 96);
	head.writeBigUInt64LE(BigInt(offset + code.length), 104);
	head.writeBigUInt64LE(0x1000n, 112);
	await writeFile(path, Buffer.concat([head, code]));
	return path;
}
