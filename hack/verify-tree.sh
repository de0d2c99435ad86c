#!/usr/bin/env bash
# Checks rules of the source tree that no linter knows. Prints every breach,
# ends with 1 when there is one. Looks at tracked and at new files, never at
# ignored ones.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
breach() {
	echo "$1" >&2
	sed 's/^/  /' >&2
	status=1
}

# A newcomer should see the whole house at one glance.
top_level='^(\..*|api|controllers|runtime|config|charts|hack|go\.mod|go\.sum|Makefile|PROJECT|README\.md|LICENSE|CHANGELOG\.md)$'
if found=$(git ls-files --cached --others --exclude-standard | cut -d/ -f1 | sort -u | grep -Ev "$top_level"); then
	breach "not allowed at the top level of the repository:" <<<"$found"
fi

# A package is named after what it does; these names say nothing.
vague='(^|/)(utils?|commons?|helpers?|misc|models?|shared)/'
if found=$(git ls-files --cached --others --exclude-standard -- '*.go' | grep -E "$vague"); then
	breach "packages named after nothing:" <<<"$found"
fi

# search FILES... prints where tracked or new text files match $pattern.
search() { git grep --untracked -nIE -e "$pattern" -- "$@"; }

# A test that sleeps is slow when it is right and fails when the machine is
# busy: wait for a signal, poll with a deadline, or use testing/synctest, where
# time is virtual. Packages whose tests use that are let through as a whole.
pattern='time\.Sleep\('
if found=$(search '*_test.go'); then
	virtual=$(git grep --untracked -lF '"testing/synctest"' -- '*_test.go' | xargs -r dirname | sort -u)
	sleeping=$(while IFS= read -r line; do
		grep -qxF "$(dirname "${line%%:*}")" <<<"$virtual" || echo "$line"
	done <<<"$found")
	[ -z "$sleeping" ] || breach "tests must not sleep:" <<<"$sleeping"
fi

# What is not done belongs in the issue tracker. (The brackets keep this line
# from finding itself; go.sum holds random letters.)
pattern='\b(TOD[O]|FIXM[E]|XX[X])\b'
if found=$(search . ':!go.sum' ':!*/go.sum'); then
	breach "unfinished work in the source:" <<<"$found"
fi

# Scripts: executable, and bash can at least parse them.
while IFS= read -r script; do
	[ -f "$script" ] || continue
	head -n1 "$script" | grep -q '^#!.*bash' || continue
	[ -x "$script" ] || breach "not executable:" <<<"$script"
	errors=$(bash -n "$script" 2>&1) || breach "not valid bash:" <<<"$errors"
done < <(git ls-files --cached --others --exclude-standard -- '*.sh' .ci)

exit $status
