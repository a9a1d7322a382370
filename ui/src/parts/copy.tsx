/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts that people take elsewhere: addresses, secrets, command lines. */
import { h } from '../base/view';
import { exactBytes } from '../base/format';
import { Button } from './basic';
import { say } from './toast';

export async function copyText(text: string): Promise<void> {
	try {
		await navigator.clipboard.writeText(text);
		say('good', 'Copied');
	} catch {
		// Not allowed, or the page came over plain HTTP.
		say('bad', 'The browser did not let the page copy', 'Choose the text and copy it by hand');
	}
}

/** A word or two, such as an address. */
export function Copyable({ text }: { text: string }) {
	return (
		<span class="row">
			<span class="mono">{text}</span>
			<Button label={`Copy ${text}`} icon="copy" iconOnly small look="quiet" onClick={() => copyText(text)} />
		</span>
	);
}

/** A text of its own: a secret, a command. */
export function CopyBox({ text, name, autofocus }: { text: string; name: string; autofocus?: boolean }) {
	return (
		<div class="copy-box">
			<span class="grow">{text}</span>
			<Button label={`Copy ${name}`} icon="copy" iconOnly small look="quiet" onClick={() => copyText(text)} attributes={{ autofocus }} />
		</div>
	);
}

/** The words of a command line, quoted where a shell needs it. */
export function commandLine(words: (string | number)[]): string {
	return words
		.map(String)
		.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`))
		.join(' ');
}

/** 2 GiB as the command line takes it: "2G". */
export function sizeWord(bytes: number): string {
	return exactBytes(bytes).replace(' ', '').replace('iB', '');
}
