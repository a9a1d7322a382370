/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of templates, with what they are for: VMs made from them. */
import { h } from '../base/view';
import { kindOf } from '../api/schema';
import { mayAny } from '../api/session';
import { KindList } from './kind-list';
import { openInstantiate } from './template';

export function TemplateList() {
	return (
		<KindList
			kind={kindOf('template')}
			rowMenu={(one) => [{ label: 'Create VM from it', icon: 'plus', allowed: mayAny('create', 'vm'), run: () => openInstantiate(one) }]}
		/>
	);
}
