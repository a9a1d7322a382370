/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial console in a terminal, over a web socket that a ticket opens: once, and for a minute. The
 * server sends what the machine wrote lately, then what it writes. A broken line is opened again.
 */
import { Terminal as Xterm } from '@xterm/xterm';
import { FitAddon } from '@xterm/addon-fit';
import '@xterm/xterm/css/xterm.css';
import { send } from '../api/client';

export type ConsoleState = 'connecting' | 'open' | 'waiting' | 'closed' | 'refused';

export interface Console {
	close: () => void;
	focus: () => void;
	retry: () => void;
	copy: () => string;
	paste: (text: string) => void;
}

/*
 * The terminal writes its colours and measures into style elements and attributes, which the page's
 * policy refuses. What a program does to sheets and styles by their own interfaces is not refused: the
 * document that the terminal is given makes elements that go that way.
 */
function documentWithSheets(): { given: Document; during: (call: () => void) => void; release: () => void } {
	const make = (tag: string, options?: ElementCreationOptions) => Document.prototype.createElement.call(document, tag, options);
	const sheets = new Set<CSSStyleSheet>();
	const drop = (sheet: CSSStyleSheet) => {
		sheets.delete(sheet);
		document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
	};
	const styleElement = () => {
		const element = make('template');
		const sheet = new CSSStyleSheet();
		sheets.add(sheet);
		document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
		Object.defineProperty(element, 'textContent', { set: (text: string) => sheet.replaceSync(text), get: () => '' });
		Object.defineProperty(element, 'remove', {
			value: () => {
				drop(sheet);
				element.parentNode?.removeChild(element);
			},
		});
		return element;
	};
	const spanElement = () => {
		const element = make('span');
		element.setAttribute = (name: string, value: string) => {
			if (name === 'style') element.style.cssText = value;
			else Element.prototype.setAttribute.call(element, name, value);
		};
		return element;
	};
	const createElement = (tag: string, options?: ElementCreationOptions) =>
		tag === 'style' ? styleElement() : tag === 'span' ? spanElement() : make(tag, options);
	const given = new Proxy(document, {
		get(target, name) {
			if (name === 'createElement') return createElement;
			const value = Reflect.get(target, name, target) as unknown;
			return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
		},
	});
	return {
		given,
		// A part of it takes the page's own document all the same when it is opened.
		during: (call) => {
			document.createElement = createElement as typeof document.createElement;
			try {
				call();
			} finally {
				delete (document as Partial<Document>).createElement;
			}
		},
		release: () => {
			for (const sheet of [...sheets]) drop(sheet);
		},
	};
}

const theme = {
	background: '#0b0d11',
	foreground: '#dde1e8',
	cursor: '#f0b429',
	cursorAccent: '#0b0d11',
	selectionBackground: '#3a4a75',
	black: '#1c2128', red: '#ff8f86', green: '#6cd49c', yellow: '#e9b95f', blue: '#94aeff', magenta: '#cf93f2', cyan: '#6fd3de', white: '#c9d0da',
	brightBlack: '#77818f', brightRed: '#ffb3ac', brightGreen: '#98e6bb', brightYellow: '#f5d28c', brightBlue: '#b9caff', brightMagenta: '#e2bbf8',
	brightCyan: '#a0e6ee', brightWhite: '#f4f6f9',
};

export function openConsole(box: HTMLElement, path: string, onState: (state: ConsoleState, words: string) => void): Console {
	const sheets = documentWithSheets();
	const terminal = new Xterm({
		cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
		fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
		fontSize: 13,
		lineHeight: 1.15,
		scrollback: 5000,
		screenReaderMode: false,
		theme,
		documentOverride: sheets.given,
		minimumContrastRatio: 4.5,
	});
	const fit = new FitAddon();
	terminal.loadAddon(fit);
	sheets.during(() => terminal.open(box));
	terminal.textarea?.setAttribute('aria-label', 'Serial console');
	fit.fit();
	const observer = new ResizeObserver(() => fit.fit());
	observer.observe(box);

	let socket: WebSocket | null = null;
	let ended = false;
	let pause = 500;
	let timer = 0;
	let opened = false;

	const typed = terminal.onData((text) => {
		if (socket?.readyState === WebSocket.OPEN) socket.send(new TextEncoder().encode(text));
	});
	const binary = terminal.onBinary((text) => {
		if (socket?.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
	});

	const again = () => {
		if (ended) return;
		clearTimeout(timer);
		timer = window.setTimeout(connect, pause);
		pause = Math.min(pause * 2, 8000);
	};

	async function connect(): Promise<void> {
		onState('connecting', '');
		let ticket: string;
		try {
			ticket = (await send('POST', '/v1/session/ticket')).body.ticket as string;
		} catch (error) {
			onState('waiting', error instanceof Error ? error.message : '');
			again();
			return;
		}
		if (ended) return;
		const address = new URL(`${path}?ticket=${encodeURIComponent(ticket)}`, location.href);
		address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
		socket = new WebSocket(address);
		socket.binaryType = 'arraybuffer';
		socket.onopen = () => {
			// The server repeats what was written lately.
			terminal.reset();
			opened = true;
			pause = 500;
			onState('open', '');
		};
		socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
			terminal.write(typeof event.data === 'string' ? event.data : new Uint8Array(event.data));
		};
		socket.onclose = (event) => {
			socket = null;
			if (ended) return;
			if (event.code === 1000) {
				onState('closed', event.reason);
				return;
			}
			onState(opened ? 'waiting' : 'refused', event.reason);
			again();
		};
	}
	void connect();

	return {
		close: () => {
			ended = true;
			clearTimeout(timer);
			typed.dispose();
			binary.dispose();
			observer.disconnect();
			socket?.close(1000);
			terminal.dispose();
			sheets.release();
		},
		focus: () => terminal.focus(),
		retry: () => {
			clearTimeout(timer);
			pause = 500;
			if (!socket) void connect();
		},
		copy: () => {
			const chosen = terminal.getSelection();
			if (chosen) return chosen;
			const lines: string[] = [];
			for (let i = 0; i < terminal.buffer.active.length; i++) lines.push(terminal.buffer.active.getLine(i)?.translateToString(true) ?? '');
			return lines.join('\n').trimEnd();
		},
		paste: (text) => terminal.paste(text),
	};
}
