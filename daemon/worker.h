/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * agentfs-worker: one process per task that touches a git repository or reads a journal, so that the
 * daemon's one thread never blocks, a crash costs one task, and work in a repository is done *as that
 * repository's owner*. It starts with the daemon's uid, opens what it needs of STATE (view folders,
 * images, sockets of views), then gives up all privileges for the owner's uid, gid and groups before
 * it opens the repository (libgit2: search paths emptied, owner validation on), and runs no program
 * that the repository names.
 *
 * Standard input: one JSON object, then end of file. Standard output: JSON objects, a line each:
 *     {"progress": TEXT, "done": N, "total": N}      any number
 *     {"record": {…}}                                op audit: one per record (type Record)
 *     {"ok": {…}}  or  {"error": {"id", "message", "remedy", "details"}}     last, exactly one
 * id is the error's name without "org.agentfs.". Exit 0 in both cases; any other end is a crash,
 * which the daemon answers with Internal. Every request has:
 *     op, state (STATE), peer_uid, peer_gid (who asked), and where a repository is meant: repo, any
 *     path in it (the main worktree, a linked one, its git folder or a bare repository).
 * Peer check: peer_uid is 0 or owns the repository, or the repository's owner granted it
 * (config `agentfs.grant = <user>`, repeatable); else Denied.
 * Every request about a view has also: journal (number of its journal's last record as far as the daemon knows), view_dir (STATE/views/<agent>), sock (its viewctl socket, or
 * absent when the server is away: the snapshot is then what the files hold); where its git is a
 * worktree: git "worktree" and peers [branches of the repository's other views].
 *
 * op "create": repo, agent, task, view_id (hex), base (revision, or absent: HEAD), branch (name after
 *   the template), git ("private" or "worktree"), mount (where the view will be, or absent: its git gets
 *   no remote), uid, gid, user_name, user_email (committer), seed [pattern],
 *   scratch (it gets neither a branch nor untracked files)
 *   → repository (common git folder), worktree (main worktree or null), objects, base_commit, tree,
 *     branch, target (branch the base was taken from, or ""), owner_uid, image, image_tmp, index,
 *     index_tmp (names in STATE/images; *_tmp is null: the worker has put the files in place, and
 *     never replaces one that is there), branch_made (it was not there before), branch_was (where a
 *     branch that was taken over and moved stood, or null), seeds [{path, mode, data}] (files of the
 *     view's own .git, paths from there: HEAD, config, packed-refs, info/exclude,
 *     objects/info/alternates, description, shallow; folders too; with git "worktree" one of the path
 *     ".git", index is then "": the worktree's administrative folder has a copy),
 *     seed_from, seed_paths [path] (the main worktree, and untracked files and folders of it that the
 *     view is to show; absent where there are none to look for),
 *     notes [text]; made: refs/agentfs/base/<view-id>, the branch at the base commit.
 *     Errors: NotFound (revision, repository), NameTaken, BranchElsewhere, Unsupported (SHA-256,
 *     empty), NotFetched (partial clone lacks objects), Damaged, NoSpace, Denied.
 * op "uncreate": repo, view_id, agent, git, branch, branch_made, branch_was, base_commit: undoes create after
 *     a later failure.
 * op "materialize": message or null, force, dry_run (the commit is made, no ref moves and the view stays
 *     as it is), user_name, user_email → as method Materialize; also
 *     tip (branch's new tip), files (count), journal (number of the last record that is in it). Denied has details {commit, path, rule}. Other errors:
 *     Locked, Stale, BranchElsewhere (HEAD elsewhere, a merge or rebase under way; the branch is
 *     checked out in a worktree), Conflict (unmerged paths), TooLarge (force), Unsupported (a filter),
 *     Busy (the branch was moved meanwhile), Damaged.
 * op "distances": repo, branches [{branch, target, base}] → distances [{ahead, behind} or null], in the
 *     same order: each branch against its target's tip, or the base where there is none (for List, Show).
 * op "diff": patch, paths, scratch → as method Diff.   op "log": patch → as method Log.
 * op "preserve": → preserved [refs]: keeps uncommitted work, heads and stash of the view's git under
 *     refs/agentfs/preserved/<agent>/<view-id>/; nothing to keep: an empty list; restore: the command
 *     that brings it back (text).
 * op "close": delete_branch (rollback), → notes; removes refs/agentfs/base/<view-id> and, for
 *     rollback, the branch (whose tip it keeps under refs/agentfs/preserved/ unless target or base contain it; said in notes).
 * op "next": new_branch, → base_commit (tip of the old branch), branch, branch_made, branch_was as for create;
 *     moves the view's own HEAD and ref through viewctl. Dirty: the view has commits that its branch
 *     lacks (materialize first). refs/agentfs/base/<view-id> stays: the image's tree needs it.
 * op "sync": to (revision, or null: the target's tip), markers, style (of them: merge, diff3, zdiff3), dry_run, new_branch (of the next task; HEAD and
 *     files then begin there) → moved, from, to and base_commit (commits), tree, image, head, files,
 *     merged [path], merge, merging, conflicts [{path, kind, reason}], branch_made, target (new_branch: the branch that `to` names), notes; the view is on the
 *     new base when moved. Errors: as materialize; Invalid (no target), Unsupported (git worktree),
 *     Conflict (unresolved ones in the index), Dirty (new_branch: not materialized), Busy with details
 *     {again: true} where the view was changed meanwhile and another try is worth it.
 * op "merge": repo, source (branch), source_commit (dry_run: instead of its tip), into (branch or null:
 *     the view's target), target_commit (dry_run: instead of its tip), dry_run, squash,
 *     records {repository: [{resolver, fired, right}]}, cost_of_wrong, regenerate {name: {command, timeout, network}}, agent, role, task, user_name, user_email,
 *     hold and verify (the result is verified before it lands), verify_output (of the last try),
 *     pending (see recall), remembered [{path, base, ours, theirs, kept}] (conflicts that people resolved), history (the
 *     same of whoever resolved them, with who: "resolver", "ai", "person"), ai {ask (false: a dry run that asks nobody),
 *     reimagine, reservation, budget {calls, ms, tokens, by_day}, said {key: answer that was believed}, resolvers [{name, argv, programs and read (paths that it
 *     sees), timeout (s), network, languages, paths, key_env, key, missing (why it cannot be asked)}]}
 *     → ai_spent {reservation, calls, ms, tokens, said} (also in an error's details), and one
 *     Merged object and repository (common git folder); recalled; dry_run: and would, the commit it made.
 *     without (a resolver), without_path: it does not act (in that file; in none where no path is given). hold, keep (name): the target does not move; state is "held", commit is kept alive by
 *     refs/agentfs/merge/<keep>, onto is what it was merged on (target_commit, or the tip).
 * op "recall": repo, pending [{merge, state ("open", "watched"), source, into, ours, theirs, commit, old, paths {path: [{hunk,
 *     key}]}}] → recalled [{merge, state ("resolved", "judged", "gone", or as it was), commit, by, hunks [{hunk, and of an open
 *     merge path, base, ours, theirs, kept, class, said [{resolver, verdict}], of a watched one verdict}]}]: what people
 *     made of earlier merges (recall.c); absent where nothing is new.
 * op "predict": repo, into, sources [{name, source, source_commit (or absent: its tip)}], and the other members of op merge → merges
 *     [answer of a dry run of op merge, source being the name, or {source, state "error", id, error}], order [name]; as much as
 *     unreachable objects is written.
 * op "undo": repo, into, source, merge (its number), commit (what it made of the target), before (what that was), user_name,
 *     user_email → commit, changes. The target gets a commit without what the merge changed. Errors: Conflict (later commits changed
 *     the same lines; details: conflicts), Invalid (nothing of it is there), as land.
 * op "hold": repo, into, sources [members of op merge that differ from one to the next: source, keep, agent …], onto (commit, or
 *     absent: the target's tip), disjoint, avoid [path], and the other members of op merge → merges [answer of op merge, or {error}], in
 *     the same order: each source merged on top of those before that stand. With disjoint a source that changes a path which one of them or
 *     avoid has is not taken: its state is "later".
 * op "land": repo, into, from (where it has to stand), commit, source and how (for the reflog), drop [name of a kept merge],
 *     user_name, user_email → already (the branch had the commit). The branch moves, worktrees follow. May be asked again after a kill.
 *     Errors: Busy (it was moved meanwhile), as merge.   op "drop-held": repo, drop.
 * op "trial": repo, commit (of a held merge), target_commit, source_commit, paths → commit: the same with these files as the target
 *     has them, or the source where the target has none. Nothing refers to it.
 * op "learn": repo, last (merges of HEAD's history, or absent: 500) → repository (common git folder), merges, conflicted, conflicts (hunks), answered,
 *     records [{resolver, fired, right}], examples [{commit, path, resolver, said, kept}] of answers that
 *     differ from what the person kept, kept [{commit, path, line, base, ours, theirs, kept, key, language, class}] what
 *     people made of conflicts.
 * op "apply": repo, worktree, source (commit) and base (commit) → as method Apply.
 * op "audit": views [{agent, view_id, dir}], control_dir or null, and the filters of method Audit, its op as "ops";
 *     follow: goes on until its input is closed by the daemon's end of a socket.
 * op "leftovers": repo → worktrees [{path, view_id, agent}]: administrative folders of views, of this or
 *     another daemon.
 * op "verify_ask": repo, target (branch) → repository, worktree, owner_uid, owner_gid, text (of '.agentfs.yaml' in the
 *     target's tree, or null). Errors: NotFound.
 * op "verify_reset": repo, mount, commit, keep [pattern]: git in the sandbox brings the files of the scratch view at
 *     `mount` to the commit and removes all others but those that a pattern keeps.
 * op "verify": a scratch view; command, commit, target, timeout (s), network, processes (512), log (path of the file that gets the output)
 *     → ok, status, output (its end), reason (sentence, where not ok), ms. Stale with details {again: true}: the view's
 *     files are not the commit's. These two end when their input does.
 * op "sandbox": → seccomp (the build has a list of refused system calls); runs a command in a sandbox.
 * op "repository": repo, rev (or absent) → repository, worktree, owner_uid, head (branch or ""), commit (of rev): what a
 *     path means.
 * op "radar": repo, views [{agent, dir}] (STATE/views/<agent>), changed [agent] or absent (all), cost_of_wrong
 *     → views [{agent, seq, paths}], overlaps [Overlap] of the pairs with a view that is named in changed.
 */

enum { WORKER_REQUEST_MAX = 4 << 20 };
