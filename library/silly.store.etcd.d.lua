---@meta silly.store.etcd

-- Definitions of `silly.store.etcd` for language servers: every function, request and answer.
--
-- A call that fails returns nil, a message for a person and a `silly.store.etcd.info` for programs. Keys and values
-- are byte strings. Integers in requests may also be floats without a fraction, or decimal or 0x strings. In responses
-- they are integers on Lua 5.3 and later, the unsigned ones by their bits; elsewhere ids are decimal strings and all
-- others numbers.

--- An id of 64 bits: an integer, or a decimal or 0x string. Responses give a decimal string on Lua 5.1, 5.2 and LuaJIT,
--- but the number 0 for none.
---@alias silly.store.etcd.id integer|string

---@alias silly.store.etcd.code
---| "cancelled" # the server gave the call up, or its caller was interrupted or resumed by somebody else
---| "unknown" # the server has no code for it
---| "invalid_argument" # the request is wrong: judged here, or by the server
---| "deadline_exceeded" # no response within `timeout`
---| "not_found" # what was named does not exist, a lease mostly
---| "already_exists" # what was to be created exists
---| "permission_denied" # the user may not do this
---| "resource_exhausted" # a limit: space, size, number of requests, memory
---| "failed_precondition" # the state forbids it
---| "aborted" # the server broke the call off
---| "out_of_range" # a revision or a number outside of what exists
---| "unimplemented" # the server is too old for this call
---| "internal" # the server, the connection or this library broke its own rules
---| "unavailable" # no server could be reached, or it cannot serve now
---| "data_loss" # the server's data is damaged
---| "unauthenticated" # the token is missing or worn out
---| "closed" # the client, the watch or the stream was closed
---| "compacted" # the revision is no longer there
---| "lease_expired" # the lease is lost, as far as this client kept it
---| "tls" # the TLS handshake failed: the message says why
---| "protocol" # the server's response makes no sense
---| "io" # a file of this machine could not be written
---| "locked" # somebody else holds it, for all the time that was waited
---| "lost" # it was held and is not any more: its key is gone
---| "timeout" # nothing came within the seconds given to `read`; the stream lives on

--- Why a call failed, for programs.
---@class silly.store.etcd.info
---@field code silly.store.etcd.code the class of the failure: branch on it
---@field applied "no"|"maybe"|"yes" may a write have happened all the same? "yes" with `once` only
---@field endpoint? string the server that was asked last, as `host:port`
---@field field? string the field of the request that is wrong, such as `success[1].put.key`
---@field key? string who holds it, with "locked"
---@field revision? integer since when, with "locked"; when the write happened, where it did
---@field succeeded? boolean whether its comparisons held, where the write happened
---@field compact_revision? integer the first revision that is left, with "compacted" from a watch
---@field server_message? string the server's own words, where it spoke
---@field attempts? integer how many attempts were made
---@field elapsed? number seconds that they took, with the pauses between them
---@field causes? table<string,string> endpoint -> how the last attempt there failed

---@class silly.store.etcd.conf: silly.store.etcd.options
---@field endpoints string[] at least one `host:port`, `http://…`, `https://…`, `[v6]:port`, `unix:///path` or `srv://domain`
---@field balance? "sticky"|"leader"|"nearest"|"spread" which server is asked first; default "sticky"
---@field sync? number seconds; so often the cluster is asked for its members; default: never
---@field nameservers? string[] who is asked for names, each an IP address, or one with a port; default: the system's
---@field user? string who logs in, with `password`
---@field password? string
---@field token? string a token from elsewhere, instead of `user` and `password`
---@field name? string what the program calls itself towards the servers, before `silly-etcd/VERSION`
---@field min_version? string the oldest version that a server may have, such as "3.5"
---@field max_request? integer bytes that a request may have; default 2 MiB
---@field log? fun(level: string, message: string, record: silly.store.etcd.record) is called with what happens to the client; may not wait
---@field level? "error"|"warn"|"info" how much must matter what it and `client:records` tell; default "warn"
---@field slow? number seconds; a call that takes as long is told there; default none
---@field namespace? string a prefix that all keys have in the store and not in the program
---@field tls? silly.store.etcd.tls encrypts the connections; default: only those to `https://`
---@field loop? silly.store.etcd.loop.name|silly.store.etcd.loop who suspends the callers; default: as `etcd.use` chose

--- How connections are encrypted. Certificates and keys are paths or PEM text; files are read at each connect.
---@class silly.store.etcd.tls
---@field ca? string whom to trust; default: the system's authorities
---@field cert? string the client's certificate, with `key`
---@field key? string its private key
---@field servername? string the name in the server's certificate; default: the endpoint's host
---@field insecure_skip_verify? boolean trust whoever answers; default false

-- docs: classes
--- How a call behaves that fails. Requests override the client's own.
---@class silly.store.etcd.options
---@field timeout? number Seconds for one attempt, fractions allowed; `math.huge` is no limit. Default 5.
---@field retry? integer Further attempts once every endpoint was asked. Default 5.
---@field retry_sleep? integer Milliseconds before each of those, and up to a fifth more. Default 1000.
---@field retry_unknown? boolean Also repeat a write whose response was lost: it may happen twice. Default false.
---@field deadline? number Seconds for the whole call, with its attempts, pauses and logins; `math.huge` is no limit. Default none.
---@field headers? table<string, string> Headers that go along with each request, by name: for proxies, and for tracing; not of what shares a stream: watches, caches, registrations. Default none.

--- What every request may say beside what it is for.
---@class silly.store.etcd.request: silly.store.etcd.options
---@field endpoint? string Ask this one of the client's endpoints only; not of what shares a stream: watches, caches, registrations. Default whichever serves.

---@class silly.store.etcd.put: silly.store.etcd.request
---@field key string Not empty.
---@field value? string Required, unless `ignore_value`.
---@field lease? silly.store.etcd.id Delete the key when this lease ends. Default 0: none.
---@field prev_kv? boolean Return what was there before. Default false.
---@field ignore_value? boolean Keep the value; the key must exist and `value` be absent. Default false.
---@field ignore_lease? boolean Keep the lease; the key must exist and `lease` be absent. Default false.
---@field once? silly.store.etcd.session A session that was made with a `marker`: whether it has happened is known then though the response was lost. Default none.

---@class silly.store.etcd.put.response
---@field header silly.store.etcd.header
---@field prev_kv? silly.store.etcd.kv What was there before, if asked for and there.

---@class silly.store.etcd.header
---@field cluster_id silly.store.etcd.id Unsigned. 0 in the responses inside of a transaction's.
---@field member_id silly.store.etcd.id The server that responded; unsigned. 0 inside of a transaction's response.
---@field revision integer The store's revision when the response was made.
---@field raft_term silly.store.etcd.id Unsigned. 0 inside of a transaction's response.

---@class silly.store.etcd.kv
---@field key string The key.
---@field create_revision integer When the key was last created.
---@field mod_revision integer When the key was last changed.
---@field version integer How many writes there were since it was created: 1 after the first, 0 in the event of a deletion.
---@field value string The value; "" with `keys_only`, and in the event of a deletion.
---@field lease silly.store.etcd.id The lease that the key is attached to; 0 for none.

---@class silly.store.etcd.get: silly.store.etcd.request
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field limit? integer Return at most this many keys. Default 0: all.
---@field revision? integer Read the store as it was then. Default 0: now.
---@field sort_order? "NONE"|"ASCEND"|"DESCEND" How to sort. Default "NONE": by key, ascending.
---@field sort_target? "KEY"|"VERSION"|"CREATE"|"MOD"|"VALUE" What to sort by. Default "KEY".
---@field serializable? boolean Let one member respond alone: cheaper, maybe stale. Default false.
---@field keys_only? boolean Leave the values out. Default false.
---@field count_only? boolean Only count. Default false.
---@field min_mod_revision? integer Leave out keys that were last changed before. Default 0: none.
---@field max_mod_revision? integer Leave out keys that were last changed after. Default 0: none.
---@field min_create_revision? integer Leave out keys that were created before. Default 0: none.
---@field max_create_revision? integer Leave out keys that were created after. Default 0: none.
---@field min_revision? integer The store that responds must have had this revision. Not inside of a transaction. Default 0: any.
---@field values? boolean Return the values by their keys, or with `keys_only` a list of the keys, in the place of `kvs`: that is cheaper. Not inside of a transaction. Default false.

---@class silly.store.etcd.get.response
---@field header silly.store.etcd.header
---@field kvs silly.store.etcd.kv[] The keys; empty if there is none. Absent with `values`.
---@field more boolean Did `limit` leave keys out?
---@field count integer How many keys are in the range, whatever `limit` says.
---@field values? table<string, string> With `values` in the place of `kvs`: the values by their keys.
---@field keys? string[] With `values` and `keys_only` in the place of `kvs`: the keys.

---@class silly.store.etcd.delete: silly.store.etcd.request
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field prev_kv? boolean Return what was deleted. Default false.
---@field once? silly.store.etcd.session A session that was made with a `marker`: whether it has happened is known then though the response was lost. Default none.

---@class silly.store.etcd.delete.response
---@field header silly.store.etcd.header
---@field deleted integer How many keys were deleted. 0 is true in Lua: compare it.
---@field prev_kvs silly.store.etcd.kv[] What was deleted, if asked for; else empty.

---@class silly.store.etcd.compact: silly.store.etcd.request
---@field revision integer The first revision to keep.
---@field physical? boolean Respond only once the history is gone from the server's database. Default false.

---@class silly.store.etcd.compact.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.revoke: silly.store.etcd.request
---@field ID silly.store.etcd.id The lease.

---@class silly.store.etcd.revoke.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.ttl: silly.store.etcd.request
---@field ID silly.store.etcd.id The lease.
---@field keys? boolean List the keys that are attached to it. Default false.

---@class silly.store.etcd.ttl.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The lease.
---@field TTL integer Seconds left; -1 if there is no such lease.
---@field grantedTTL integer Seconds that were granted; 0 if there is no such lease.
---@field keys string[] The attached keys, if asked for; else empty.

---@class silly.store.etcd.leases: silly.store.etcd.request

---@class silly.store.etcd.leases.response
---@field header silly.store.etcd.header
---@field leases silly.store.etcd.leases.lease[] All of them.

---@class silly.store.etcd.leases.lease
---@field ID silly.store.etcd.id The lease.

---@class silly.store.etcd.auth.enable: silly.store.etcd.request

---@class silly.store.etcd.auth.enable.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.disable: silly.store.etcd.request

---@class silly.store.etcd.auth.disable.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.status: silly.store.etcd.request

---@class silly.store.etcd.auth.status.response
---@field header silly.store.etcd.header
---@field enabled boolean It is switched on.
---@field authRevision integer How often users and roles were changed.

---@class silly.store.etcd.auth.useradd: silly.store.etcd.request
---@field name string The user.
---@field password? string Required, unless `nopassword`.
---@field nopassword? boolean The user has no password, and is known by a certificate. Default false.

---@class silly.store.etcd.auth.useradd.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.userget: silly.store.etcd.request
---@field name string The user.

---@class silly.store.etcd.auth.userget.response
---@field header silly.store.etcd.header
---@field roles string[] The roles that the user has.

---@class silly.store.etcd.auth.userlist: silly.store.etcd.request

---@class silly.store.etcd.auth.userlist.response
---@field header silly.store.etcd.header
---@field users string[] All of them.

---@class silly.store.etcd.auth.userdelete: silly.store.etcd.request
---@field name string The user.

---@class silly.store.etcd.auth.userdelete.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.userpassword: silly.store.etcd.request
---@field name string The user.
---@field password string The new one.

---@class silly.store.etcd.auth.userpassword.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.usergrant: silly.store.etcd.request
---@field user string The user.
---@field role string The role.

---@class silly.store.etcd.auth.usergrant.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.userrevoke: silly.store.etcd.request
---@field role string The role.
---@field user string The user; also as `name`.

---@class silly.store.etcd.auth.userrevoke.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.roleadd: silly.store.etcd.request
---@field name string The role.

---@class silly.store.etcd.auth.roleadd.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.roleget: silly.store.etcd.request
---@field role string The role.

---@class silly.store.etcd.auth.roleget.response
---@field header silly.store.etcd.header
---@field perm silly.store.etcd.auth.permission[] What it permits.

---@class silly.store.etcd.auth.permission
---@field permType "READ"|"WRITE"|"READWRITE" What may be done.
---@field key string The key, or the first of the range.
---@field range_end string The key behind the range: "" for one key, "\0" for all from `key` on.

---@class silly.store.etcd.auth.rolelist: silly.store.etcd.request

---@class silly.store.etcd.auth.rolelist.response
---@field header silly.store.etcd.header
---@field roles string[] All of them.

---@class silly.store.etcd.auth.roledelete: silly.store.etcd.request
---@field role string The role.

---@class silly.store.etcd.auth.roledelete.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.rolegrant: silly.store.etcd.request
---@field role string The role; also as `name`.
---@field permission "READ"|"WRITE"|"READWRITE" What it permits.
---@field key string The key, or the first of a range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.

---@class silly.store.etcd.auth.rolegrant.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.auth.rolerevoke: silly.store.etcd.request
---@field role string The role.
---@field key string The key, or the first of the range, as it was granted.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.

---@class silly.store.etcd.auth.rolerevoke.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.cluster.members: silly.store.etcd.request
---@field serializable? boolean What the member that is asked believes, even without a leader. Default false.

---@class silly.store.etcd.cluster.members.response
---@field header silly.store.etcd.header
---@field members silly.store.etcd.cluster.member[] All of them.

---@class silly.store.etcd.cluster.member
---@field ID silly.store.etcd.id The member; unsigned.
---@field name string Its name; "" until it was started for the first time.
---@field peerURLs string[] Where other members reach it.
---@field clientURLs string[] Where clients reach it, as it says itself; empty until it was started.
---@field isLearner boolean It follows, and does not vote.

---@class silly.store.etcd.cluster.add: silly.store.etcd.request
---@field peerURLs string[] Where the other members will reach it: `http://host:port` or `https://host:port`.
---@field isLearner? boolean It follows only, until it is promoted. Default false.

---@class silly.store.etcd.cluster.add.response
---@field header silly.store.etcd.header
---@field member? silly.store.etcd.cluster.member The new one.
---@field members silly.store.etcd.cluster.member[] All of them.

---@class silly.store.etcd.cluster.update: silly.store.etcd.request
---@field ID silly.store.etcd.id The member.
---@field peerURLs string[] Where the other members will reach it.

---@class silly.store.etcd.cluster.update.response
---@field header silly.store.etcd.header
---@field members silly.store.etcd.cluster.member[] All of them.

---@class silly.store.etcd.cluster.remove: silly.store.etcd.request
---@field ID silly.store.etcd.id The member.

---@class silly.store.etcd.cluster.remove.response
---@field header silly.store.etcd.header
---@field members silly.store.etcd.cluster.member[] Those that are left.

---@class silly.store.etcd.cluster.promote: silly.store.etcd.request
---@field ID silly.store.etcd.id The learner.

---@class silly.store.etcd.cluster.promote.response
---@field header silly.store.etcd.header
---@field members silly.store.etcd.cluster.member[] All of them.

---@class silly.store.etcd.maintenance.status: silly.store.etcd.request

---@class silly.store.etcd.maintenance.status.response
---@field header silly.store.etcd.header
---@field version string The member's version.
---@field dbSize integer Bytes of its store on disk.
---@field leader silly.store.etcd.id The leader, 0 for none; unsigned.
---@field raftIndex integer The last entry of its log that is agreed.
---@field raftTerm silly.store.etcd.id How many elections there were.
---@field raftAppliedIndex integer The last entry that it has applied.
---@field errors string[] What is wrong with it: alarms, no leader.
---@field dbSizeInUse integer Bytes of its store that are not free.
---@field isLearner boolean It follows, and does not vote.
---@field storageVersion string The version of its files; "" before etcd 3.6.
---@field dbSizeQuota integer Bytes that its store may have; 0 before etcd 3.6.
---@field downgradeInfo? silly.store.etcd.maintenance.status.downgrade Is the cluster being downgraded? From etcd 3.6 on.

---@class silly.store.etcd.maintenance.status.downgrade
---@field enabled boolean It is.
---@field targetVersion string To this version.

---@class silly.store.etcd.maintenance.alarms: silly.store.etcd.request

---@class silly.store.etcd.maintenance.alarms.response
---@field header? silly.store.etcd.header Absent up to etcd 3.4.
---@field alarms silly.store.etcd.maintenance.alarm[] Those that are raised, or were.

---@class silly.store.etcd.maintenance.alarm
---@field memberID silly.store.etcd.id The member; unsigned.
---@field alarm "NONE"|"NOSPACE"|"CORRUPT" What is wrong.

---@class silly.store.etcd.maintenance.hash: silly.store.etcd.request

---@class silly.store.etcd.maintenance.hash.response
---@field header silly.store.etcd.header
---@field hash integer Of all that the member has stored, users and leases too.

---@class silly.store.etcd.maintenance.hashkv: silly.store.etcd.request
---@field revision? integer Hash the keys as they were at this revision. Default 0: now.

---@class silly.store.etcd.maintenance.hashkv.response
---@field header silly.store.etcd.header
---@field hash integer Of the keys and of the history that the member remembers.
---@field compact_revision integer The history before it is forgotten; members can be compared where it is the same.
---@field hash_revision integer The revision that was hashed; 0 before etcd 3.6.

---@class silly.store.etcd.maintenance.moveleader: silly.store.etcd.request
---@field targetID silly.store.etcd.id The member that is to lead.

---@class silly.store.etcd.maintenance.moveleader.response
---@field header? silly.store.etcd.header Absent: servers send none.

---@class silly.store.etcd.maintenance.downgrade: silly.store.etcd.request
---@field action "VALIDATE"|"ENABLE"|"CANCEL" Ask whether it can be done, begin, or end it.
---@field version? string The version that members will be started with, `3.5.0`. Default none: for "CANCEL" only.

---@class silly.store.etcd.maintenance.downgrade.response
---@field header silly.store.etcd.header
---@field version string The version of the cluster.

---@class silly.store.etcd.txn: silly.store.etcd.request
---@field compare? silly.store.etcd.txn.compare[] All of them must hold. Default none, which holds.
---@field success? silly.store.etcd.txn.operation[] Run if they hold. Default none.
---@field failure? silly.store.etcd.txn.operation[] Run if one does not. Default none.
---@field min_revision? integer The store that responds must have had this revision; for a transaction that gets something and changes nothing. Default 0: any.
---@field once? silly.store.etcd.session A session that was made with a `marker`: whether it has happened is known then though the response was lost. Default none.

---@class silly.store.etcd.txn.compare
---@field result? "EQUAL"|"GREATER"|"LESS"|"NOT_EQUAL"|"="|">"|"<"|"!=" How it must compare to the operand; also as a sign, `=`, `>`, `<` or `!=`. Required, unless there is no `target`: then equal.
---@field target? "VERSION"|"CREATE"|"MOD"|"VALUE"|"LEASE" What of the key is compared. Required, unless there is one operand.
---@field key string The key, or the first of a range of which each key must hold.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field version? integer The operand of "VERSION"; 0 for a key that does not exist.
---@field create_revision? integer The operand of "CREATE"; 0 for a key that does not exist.
---@field mod_revision? integer The operand of "MOD"; 0 for a key that does not exist.
---@field value? string The operand of "VALUE".
---@field lease? silly.store.etcd.id The operand of "LEASE"; 0 for none.

---@class silly.store.etcd.txn.response
---@field header silly.store.etcd.header
---@field succeeded boolean Did the comparisons hold?
---@field responses silly.store.etcd.txn.result[] One for each operation that was run, in order.

---@class silly.store.etcd.grant: silly.store.etcd.request
---@field TTL integer Seconds to live after the last renewal; the server may grant more.
---@field ID? silly.store.etcd.id The id of the lease. Default 0: the client chooses one.
---@field keepalive? boolean Renew the lease in the background. Default true.

---@class silly.store.etcd.grant.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The id of the lease.
---@field TTL integer Seconds that were granted; etcd's minimum is 2 by default.
---@field error? string The server's word on it; nil as a rule.

---@class silly.store.etcd.keepalive.request: silly.store.etcd.request
---@field ID silly.store.etcd.id The lease.
---@field keepalive? boolean Renew the lease in the background from now on, or no longer. Default as it is.

---@class silly.store.etcd.keepalive.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The lease.
---@field TTL integer Seconds that the lease lives from this renewal on.

---@class silly.store.etcd.watch.request: silly.store.etcd.request
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field start_revision? integer etcd's own name for `revision`.
---@field progress_notify? boolean Also read responses without events, which tell how far the watch is. Default false.
---@field filters? ("NOPUT"|"NODELETE")[] Events to leave out. Default none.
---@field prev_kv? boolean Let events have what was there before. Default false.
---@field revision? integer The first revision to see; the history is replayed from there. Default 0: from now on.
---@field NOPUT? boolean Leave out puts, as the filter of this name. Default false.
---@field NODELETE? boolean Leave out deletions, as the filter of this name. Default false.

---@class silly.store.etcd.watch.response
---@field header silly.store.etcd.header
---@field watch_id silly.store.etcd.id Names the watch within its client, the same for its whole life.
---@field created boolean Always false: `client:watch` has waited for that response.
---@field canceled boolean Always false: `watch:read` returns nil then.
---@field compact_revision integer Always 0: `info.compact_revision` has it.
---@field cancel_reason string Always "": `watch:read` returns it as its message.
---@field fragment boolean Always false: the fragments of a response are joined.
---@field events silly.store.etcd.event[] Those of one or more revisions, in order; empty in a progress notification.

---@class silly.store.etcd.event
---@field type "PUT"|"DELETE" What has happened.
---@field kv silly.store.etcd.kv The key as it is now. Of a deletion: `key`, and the revision of the deletion as `mod_revision`.
---@field prev_kv? silly.store.etcd.kv What was there before, if asked for, there, and not compacted.

---@class silly.store.etcd.scan.request: silly.store.etcd.request
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field revision? integer Read the store as it was then. Default 0: now.
---@field limit? integer Read at most this many keys. Default 0: all.
---@field keys_only? boolean Leave the values out. Default false.
---@field serializable? boolean Let one member say what the revision is: cheaper, maybe stale. Default false.
---@field page? integer The most keys of a page. Default 1000.
---@field min_revision? integer The store that responds must have had this revision. Default 0: any.

---@class silly.store.etcd.cache.request: silly.store.etcd.request
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field wait? number Seconds to wait for the first load; 0: not at all. Default 5.
---@field file? string Keep a copy in this file, for a start while no server responds. Default none.
---@field decode? fun(value: string): any What `cache:value` makes of a value, called once per change. Default the value as it is.
---@field page? integer The most keys of a page of a load. Default 10000.

---@class silly.store.etcd.register: silly.store.etcd.request
---@field name? string The service: the key is `NAME/ID`. Required, unless `key`.
---@field addr? string Where it is to be found. Required, unless `key`.
---@field metadata? any What else there is to know of it. Default none.
---@field id? string Names it among those of the service. Default sixteen digits at random.
---@field key? string The key of an entry of one's own form. Excludes `name`, `addr`, `metadata` and `id`.
---@field value? string Its value. Required with `key`.
---@field TTL? integer Seconds that the entry outlives its process. Default 10.
---@field replace? boolean Take the key at first, though it is there. Default false.
---@field wait? number Seconds to wait until it is there; 0: not at all. Default 5.

---@class silly.store.etcd.discover: silly.store.etcd.request
---@field name string The service.
---@field wait? number Seconds to wait for the first list; 0: not at all. Default 5.
---@field file? string Keep a copy in this file, for a start while no server responds. Default none.
---@field stale? boolean|number Keep the list while etcd cannot be reached: for as long as that takes, for so many seconds, or with false for 10. Default true.

---@class silly.store.etcd.session.request: silly.store.etcd.request
---@field TTL? integer Seconds that it outlives its process. Default 10.
---@field ID? silly.store.etcd.id A lease that exists, to take over. Excludes `TTL`. Default a lease of its own.
---@field marker? string What the key begins with by which it is known whether its writes have happened. Default none.

---@class silly.store.etcd.lock.request: silly.store.etcd.request
---@field name string What is locked: the key is `NAME/LEASE`, and on the lease of a `session` `NAME/LEASE-RANDOM`.
---@field value? string What others see as the value of its key. Default "".
---@field TTL? integer Seconds that the lock outlives its process. Default 10.
---@field session? silly.store.etcd.session Live on its lease. Excludes `TTL`. Default a lease of its own.
---@field wait? number Seconds to wait in the queue; 0: not at all. Default as long as it takes.
---@field mode? "read"|"write" Readers exclude writers, and writers everybody. Default everybody excludes everybody.
---@field resume? silly.store.etcd.place Go on with a place that was taken before: its `key`, `revision` and `lease`. Default a place at the end of the queue.

---@class silly.store.etcd.campaign: silly.store.etcd.request
---@field name string What is campaigned for: the key is `NAME/LEASE`, and on the lease of a `session` `NAME/LEASE-RANDOM`.
---@field value? string What the leader tells those who observe. Default "".
---@field TTL? integer Seconds that the leadership outlives its process. Default 10.
---@field session? silly.store.etcd.session Live on its lease. Excludes `TTL`. Default a lease of its own.
---@field wait? number Seconds to wait in the queue; 0: not at all. Default as long as it takes.
---@field resume? silly.store.etcd.place Go on with a place that was taken before: its `key`, `revision` and `lease`. Default a place at the end of the queue.

---@class silly.store.etcd.stm: silly.store.etcd.request
---@field apply fun(tx: silly.store.etcd.tx): any, string? Reads and writes by its argument. It may run several times.
---@field isolation? "snapshot"|"serializable" From what it is protected. Default "snapshot": changes to what it has read, and to what it writes.
---@field keys? string[] Keys that are read together before the first run. Default none.
---@field tries? integer How often it runs at the most. Default 100.

---@class silly.store.etcd.leader.request: silly.store.etcd.request
---@field name string What is campaigned for, or locked.

---@class silly.store.etcd.leader.response
---@field header silly.store.etcd.header
---@field kv? silly.store.etcd.kv The leader's key; nil where nobody leads.

---@class silly.store.etcd.observe: silly.store.etcd.request
---@field name string What is campaigned for, or locked.
---@field wait? number Seconds to wait until it is known who leads; 0: not at all. Default 5.

---@class silly.store.etcd.swap: silly.store.etcd.request
---@field key string The key.
---@field mod_revision integer The revision of its last change; 0 if it must not exist.
---@field value? string Its new value. Required, unless `delete`.
---@field delete? boolean Delete it. Excludes `value`. Default false.
---@field lease? silly.store.etcd.id Delete the key when this lease ends. Default 0: none.
---@field ignore_lease? boolean Keep the lease that it has; the key must exist. Default false.
---@field once? silly.store.etcd.session A session that was made with a `marker`: whether it has happened is known then though the response was lost. Default none.

---@class silly.store.etcd.swap.response
---@field header silly.store.etcd.header
---@field succeeded boolean The key was as it should be, and was changed.
---@field kv? silly.store.etcd.kv If not: what is there instead, if anything.

---@class silly.store.etcd.increment: silly.store.etcd.request
---@field key string The key; its value is an integer in decimal digits.
---@field by? integer What is added. Default 1.
---@field initial? integer What it is added to where there is no such key. Default 0.
---@field lease? silly.store.etcd.id Delete the key when this lease ends. Default the lease that it has.
---@field once? silly.store.etcd.session A session that was made with a `marker`: whether it has happened is known then though the response was lost. Default none.

---@class silly.store.etcd.increment.response
---@field header silly.store.etcd.header
---@field value integer The number afterwards.
---@field tries integer How often it was tried: more than once where others changed it too.

---@class silly.store.etcd.maintenance.disarm: silly.store.etcd.request
---@field memberID? silly.store.etcd.id Of this member only. Default 0: of all.
---@field alarm? "NONE"|"NOSPACE"|"CORRUPT" Of this type only. Default all.

---@class silly.store.etcd.maintenance.defragment: silly.store.etcd.request
---@field all? boolean All members, one after the other, the leader last. Excludes `endpoint`. Default false.

---@class silly.store.etcd.maintenance.defragment.response
---@field members silly.store.etcd.maintenance.defragment.member[] With `all`: what was done, in its order; else empty.

---@class silly.store.etcd.maintenance.defragment.member
---@field ID silly.store.etcd.id The member; unsigned.
---@field endpoint string Which of the endpoints it is.
---@field dbSize integer Bytes of its store on disk.
---@field freed integer Bytes by which it was larger.
---@field seconds number How long that took.

---@class silly.store.etcd.maintenance.snapshot: silly.store.etcd.request
---@field file? string To this file, which gets its name when all of it is there and checked; before that it is called `FILE.part`. Required, unless `chunk`.
---@field chunk? fun(bytes: string) Called with each piece, in order. Excludes `file`. Default none.
---@field progress? fun(done: integer, total: integer) Called with the bytes that have come, and those that there are. Default none.
---@field idle? number Seconds that the server may be silent between two pieces. Default 30.

---@class silly.store.etcd.maintenance.snapshot.response
---@field bytes integer How many there were.
---@field sha256 string The hash of the store, in hexadecimal digits: what the last 32 bytes are.
---@field version string The version of the store; "" before etcd 3.6.
---@field seconds number How long it took.
---@field endpoint string Where it came from.

---@class silly.store.etcd.maintenance.compare: silly.store.etcd.request

---@class silly.store.etcd.maintenance.compare.response
---@field same boolean All members have stored the same.
---@field revision integer The revision at which they were compared.
---@field members silly.store.etcd.maintenance.compare.member[] One for each.

---@class silly.store.etcd.maintenance.compare.member
---@field ID silly.store.etcd.id The member; unsigned.
---@field endpoint string Which of the endpoints it is.
---@field hash integer Of its keys.
---@field compact_revision integer The history before it is forgotten.

-- docs: end

--- One of the four. The requests are those of the calls, without `silly.store.etcd.options`, or a key alone.
---@class silly.store.etcd.txn.operation
---@field put? silly.store.etcd.put
---@field get? silly.store.etcd.get|string
---@field delete? silly.store.etcd.delete|string
---@field txn? silly.store.etcd.txn

--- The response of one operation, under its name.
---@class silly.store.etcd.txn.result
---@field put? silly.store.etcd.put.response
---@field get? silly.store.etcd.get.response
---@field delete? silly.store.etcd.delete.response
---@field txn? silly.store.etcd.txn.response

--- A read of a cache: the same as of `client:get`, but for `revision`.
---@class silly.store.etcd.cache.get: silly.store.etcd.get
---@field linearizable? boolean As it is in the cluster now, which costs a call. Default false.
---@field min_revision? integer Wait until the cache has had this revision. Default 0: do not wait.
---@field wait? number Seconds to wait for either. Default 5.

--- Which changes of a cache to follow.
---@class silly.store.etcd.cache.follow
---@field key? string The key, or the first of the range. Default the whole cache.
---@field prefix? boolean All keys that start with `key`. Default false.
---@field fromkey? boolean All keys from `key` on. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field initial? boolean All that is here comes first, as puts. Default false.

---@class silly.store.etcd.cache.status
---@field state "ready"|"stale"|"loading"|"closed" stale: it can be read, and is not kept current now
---@field revision integer all changes up to it are here; 0 before the first load
---@field keys integer
---@field bytes integer of all keys and values
---@field lag number seconds for which it has not been kept current; 0 where it is
---@field loads integer how often the whole range was loaded
---@field message? string what is wrong

---@class silly.store.etcd.changes.response
---@field revision integer of the cache with these changes
---@field events silly.store.etcd.event[] one for each key, in the order of the keys; `prev_kv` is what this reader saw last
---@field reloaded boolean some were found by loading the range anew: what happened in between is not known

--- What an entry is to have from now on.
---@class silly.store.etcd.registration.update
---@field addr? string Where it is to be found. Default as it is.
---@field metadata? any What else there is to know of it. Default as it is.
---@field value? string The value of an entry that was registered by its `key`.
---@field wait? number Seconds to wait until it is there. Default 5.

---@class silly.store.etcd.registration.update.response
---@field header? silly.store.etcd.header nil where that was not waited for

---@class silly.store.etcd.registration.status
---@field registered boolean the entry is there, as far as is known
---@field taken boolean the key is somebody else's, and is registered when that goes
---@field since number since when that is so: seconds since 1970
---@field losses integer how often it was lost
---@field lease silly.store.etcd.id which it lives under; 0 before the first
---@field message? string why it is not there

--- What a process must remember to go on with a place that it has taken.
---@class silly.store.etcd.place
---@field key string
---@field revision integer
---@field lease silly.store.etcd.id

--- Why something is held no longer.
---@class silly.store.etcd.loss
---@field code "lease_expired"|"lost"|"closed"|silly.store.etcd.code
---@field message string

--- What has come of a transaction of code.
---@class silly.store.etcd.stm.response
---@field header? silly.store.etcd.header of the commit, or of the reads where nothing was written; nil where nothing was read either
---@field result any the first value that the function has returned
---@field tries integer how often it ran

--- What a transaction of code reads.
---@class silly.store.etcd.tx.get
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`. Default false.
---@field fromkey? boolean All keys from `key` on. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field limit? integer Return at most this many keys. Default all.
---@field sort_order? "NONE"|"ASCEND"|"DESCEND"
---@field sort_target? "KEY"|"VERSION"|"CREATE"|"MOD"|"VALUE"
---@field keys_only? boolean Leave the values out. Default false.

--- What it puts.
---@class silly.store.etcd.tx.put
---@field key string
---@field value string
---@field lease? silly.store.etcd.id Delete the key when this lease ends. Default none.

--- What it deletes.
---@class silly.store.etcd.tx.delete
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`. Default false.
---@field fromkey? boolean All keys from `key` on. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.

--- What a leader tells.
---@class silly.store.etcd.proclaim: silly.store.etcd.request
---@field value string

---@class silly.store.etcd.proclaim.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.discovery.entry
---@field id string
---@field addr string
---@field metadata? any
---@field kv silly.store.etcd.kv

---@class silly.store.etcd.discovery.event
---@field type "PUT"|"DELETE" who has come or changed, or gone
---@field id string
---@field addr string of one who has gone: the last
---@field metadata? any of one who has gone: the last

---@class silly.store.etcd.discovery.status: silly.store.etcd.cache.status
---@field entries integer how many there are
---@field invalid integer how many values are none of an entry

---@class silly.store.etcd.watch.status
---@field state "ready"|"stale"|"paused"|"ended" stale: cut off, and resumed as soon as possible; paused: to be read first
---@field revision integer all events up to this revision have come; 0 once the watch has ended
---@field lag number seconds since it was cut off; 0 where it is not
---@field message? string why it is cut off

--- The library's native half, as a loop of one's own sees it.
---@class silly.store.etcd.core
local core = {}

--- Blocks the thread until an operation has completed, the time is over, or a signal came.
---@param seconds number? at the most; default: no limit
---@param taken integer? what `pump` returned: does not wait where a call in a finalizer has taken a result since
function core:wait(seconds, taken) end

--- A caller that is suspended. A loop may keep fields of its own in it.
---@class silly.store.etcd.waiter
---@field done boolean has its operation completed?

--- Hands out what has completed: to be called after completions. Returns how many operations are under way, and how many
--- results there have been.
---@alias silly.store.etcd.pump fun(): integer, integer?

--- Whether there is something to take, for a loop that watches descriptors: it is readable then.
---@return integer descriptor it must not be closed
function core:fd() end

--- The same for a loop that can watch sockets of its own only: where to connect on 127.0.0.1, and what to send first.
--- A line break comes from there when there is something to take.
---@return integer? port
---@return string nonce a message on failure
function core:port() end

--- Signals as if there was something to take.
function core:poke() end

--- The loops that are built in.
---@alias silly.store.etcd.loop.name
---| "copas"
---| "cqueues"
---| "eco"
---| "luv"
---| "neovim"
---| "openresty"
---| "silly"
---| "skynet"
---| "standalone" # the runtime of this repository; callers outside of its tasks block
---| "tarantool"

--- What suspends and resumes the callers of a client. All functions are called on the Lua thread.
---@class silly.store.etcd.loop
---@field current fun(): any, string? the running coroutine if it may be suspended now; else nil: the call then blocks, or ends with the text
---@field park async fun(waiter: silly.store.etcd.waiter): string?, silly.store.etcd.code? suspends its caller; may end early; a text ends the call, as `cancelled` or with the code beside it
---@field wake fun(co: any, waiter: silly.store.etcd.waiter) resumes what `current` named; called by `pump`
---@field start fun(core: silly.store.etcd.core, pump: silly.store.etcd.pump, give_up: fun(waiter: silly.store.etcd.waiter)): true? a caller is about to be parked; true: not to be called again until `pump` returns 0; `give_up` is for one that will never be resumed
---@field block? fun(core: silly.store.etcd.core, pump: silly.store.etcd.pump, taken: integer?): string? waits, with `taken` for `core:wait`, and pumps once; may end the call with a text: it is `cancelled` then
---@field go? fun(f: function, ...: any) runs `f` as a caller that may be suspended
---@field exiting? async fun(pause: boolean?): string? a text once the host is about to end: nothing is watched then; with `pause` after a while

---@class silly.store.etcd
---@field _VERSION string the version of the library
local etcd = {}

--- Makes a client. Opens nothing and returns at once. Throws when the configuration is no good.
---@nodiscard
---@param conf silly.store.etcd.conf
---@return silly.store.etcd.client client
function etcd.newclient(conf) end

--- A configuration from the variables of etcdctl (`ETCDCTL_ENDPOINTS` and so on); without any, that of an etcd on this
--- machine.
---@nodiscard
---@return silly.store.etcd.conf
function etcd.fromenv() end

--- What all clients of this lua_State count that were not closed, as the text that Prometheus reads.
---@nodiscard
---@return string text
function etcd.metrics() end

--- Chooses the loop of the clients that are made from now on in this lua_State. Without it that is the one of the host,
--- found by itself at the first client. Throws when there is no such loop, or when its host is not there.
---@param name silly.store.etcd.loop.name|silly.store.etcd.loop the name of a built-in loop, or one's own
function etcd.use(name) end

--- Runs `f` in a coroutine of the host, in which calls suspend only that: a task, a thread, a fiber, as the loop in use
--- has it. An error in it ends the coroutine and is reported as the host reports it. Throws where none can be started.
---@param f async fun(...: any)
---@param ... any arguments for `f`
function etcd.go(f, ...) end

--- Lua's pcall; on Lua 5.1 one in which a caller can be suspended, on every loop.
etcd.pcall = pcall

--- How long things took.
---@class silly.store.etcd.histogram
---@field count integer how many there were
---@field sum number the seconds of all together
---@field buckets { le: number, count: integer }[] how many took no longer than `le` seconds

--- What a client counts: numbers, or tables of them by their labels.
---@class silly.store.etcd.stats
-- docs: stats
---@field calls_total table<string, table<string, integer>> calls that have ended, by what has come of them
---@field call_seconds table<string, silly.store.etcd.histogram> how long calls took, all attempts and pauses together
---@field calls_inflight table<string, integer> calls under way
---@field attempts_total table<string, table<string, integer>> attempts of calls, by why they were made
---@field writes_unknown_total table<string, integer> failed writes that may have happened
---@field connections_total table<string, table<string, integer>> attempts to connect, by what has come of them
---@field connected table<string, integer> whether there is a connection
---@field connection_rtt_seconds table<string, number> the round trip of the connection, as it was measured last
---@field bytes_total table<string, table<string, integer>> bytes of HTTP/2 that were sent and received
---@field logins_total table<string, integer> logins, by what has come of them
---@field leases integer leases that are renewed
---@field lease_margin_seconds? number how long the lease still lives that ends first, if no renewal is answered
---@field renewals_total integer renewals that were answered
---@field leases_lost_total table<string, integer> leases that were renewed and are lost
---@field watches table<string, integer> watches
---@field events_total integer events that watches have received
---@field watch_resumes_total integer watches that went on after a break or a pause
---@field watch_ends_total table<string, integer> watches that have ended by themselves
---@field watch_backlog_bytes integer bytes of events that nobody has read yet
---@field locks_held integer locks and leaderships that are held
---@field lock_wait_seconds silly.store.etcd.histogram how long was waited for those that were got
---@field locks_lost_total table<string, integer> locks and leaderships that were lost, not given up
---@field cache_keys table<string, integer> keys in a cache
---@field cache_revision table<string, integer> the revision that a cache has all of
---@field cache_lag_seconds table<string, number> for how long a cache has been stale; 0 while it is current
---@field cache_loads_total table<string, integer> how often a cache was loaded as a whole
---@field registrations integer registrations that are kept
---@field registrations_lost_total integer how often a registration was not there any more
---@field lua_queue integer results that wait for the Lua thread
---@field lua_wakeups_total integer how often the Lua thread was told of results
-- docs: end

--- Something that has happened to a client.
---@class silly.store.etcd.record
---@field level "error"|"warn"|"info" how much it matters
---@field event string what it is, a word for programs
---@field time number when it happened, in seconds since 1970
---@field message string one line for a person
---@field endpoint string? the server that it is about
---@field code silly.store.etcd.code? of a failure
---@field call string? the call that it is about
---@field key string? the key that it is about, its first 100 bytes
---@field seconds number? how long it took, or lasted
---@field attempts? integer how many attempts a call made
---@field repeated integer so often the same came again before this, and was not told
---@field missed integer so many records before this one were missed, since the reader was late

--- What a client knows of one of its servers.
---@class silly.store.etcd.endpoint
---@field endpoint string its address
---@field connected boolean is there a connection?
---@field failures integer how often in a row it could not be reached
---@field rtt? number seconds that a round trip of the connection takes, as it was measured last
---@field member_id silly.store.etcd.id the member that responded there last; 0 before that
---@field version? string of that member, if it was asked
---@field leader boolean was that member the leader, when one was asked last?
---@field current boolean is it asked first?
---@field source "conf"|"srv"|"member" where its address is from: the program, a service that DNS knows, a member

---@class silly.store.etcd.sync: silly.store.etcd.request

---@class silly.store.etcd.health: silly.store.etcd.request

---@class silly.store.etcd.health.response
---@field healthy boolean do all serve?
---@field endpoints silly.store.etcd.health.endpoint[] one for each server

---@class silly.store.etcd.health.endpoint
---@field endpoint string its address
---@field healthy boolean it has answered, and no alarm is raised
---@field seconds number how long the answer took, or the failure
---@field code? silly.store.etcd.code why it has not answered
---@field message? string the same for a person
---@field alarms silly.store.etcd.maintenance.alarm[] the alarms that it knows of

--- What reads the records of a client.
---@class silly.store.etcd.records
local records = {}

--- Waits until something happens.
---@async
---@nodiscard
---@param seconds number? at the most; nil, "timeout" is returned then
---@return silly.store.etcd.record? record nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.record
---@return_overload nil, string, silly.store.etcd.info
function records:read(seconds) end

--- Iterates over the same. It ends when the client is closed, or the records are.
---@nodiscard
---@return async fun(): silly.store.etcd.record?
function records:entries() end

--- Reads no more. May be called again.
function records:close() end

--- A client. Requests are never changed; a call never throws, but for one without `self`.
---@class silly.store.etcd.client
---@field auth silly.store.etcd.auth users, roles, and whether anybody must log in
---@field cluster silly.store.etcd.cluster the members of the cluster
---@field maintenance silly.store.etcd.maintenance the state of each member, and what is done about it
local client = {}

-- docs: calls
--- Stores a value under a key. Not under a lease that this client knows to be lost.
---@async
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.put.response
---@return_overload nil, string, silly.store.etcd.info
function client:put(req) end

--- Reads a key or a range of keys.
---@async
---@nodiscard
---@param req silly.store.etcd.get|string or the `key` alone
---@return silly.store.etcd.get.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.get.response
---@return_overload nil, string, silly.store.etcd.info
function client:get(req) end

--- Deletes a key or a range of keys.
---@async
---@param req silly.store.etcd.delete|string or the `key` alone
---@return silly.store.etcd.delete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.delete.response
---@return_overload nil, string, silly.store.etcd.info
function client:delete(req) end

--- Forgets the history before a revision.
---@async
---@param req silly.store.etcd.compact|integer|string or the `revision` alone
---@return silly.store.etcd.compact.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.compact.response
---@return_overload nil, string, silly.store.etcd.info
function client:compact(req) end

--- Ends a lease and deletes its keys. Its renewal stops at once, whatever the server responds.
---@async
---@param req silly.store.etcd.revoke|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.revoke.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.revoke.response
---@return_overload nil, string, silly.store.etcd.info
function client:revoke(req) end

--- How long a lease still lives, in seconds; -1 for one that does not exist.
---@async
---@nodiscard
---@param req silly.store.etcd.ttl|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.ttl.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.ttl.response
---@return_overload nil, string, silly.store.etcd.info
function client:ttl(req) end

--- All leases of the cluster.
---@async
---@nodiscard
---@param req silly.store.etcd.leases?
---@return silly.store.etcd.leases.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.leases.response
---@return_overload nil, string, silly.store.etcd.info
function client:leases(req) end

--- Who leads under a name, or holds the lock of that name.
---@async
---@nodiscard
---@param req silly.store.etcd.leader.request|string or the `name` alone
---@return silly.store.etcd.leader.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.leader.response
---@return_overload nil, string, silly.store.etcd.info
function client:leader(req) end

--- Changes a key if it is still as it was, else returns what is there.
---@async
---@param req silly.store.etcd.swap
---@return silly.store.etcd.swap.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.swap.response
---@return_overload nil, string, silly.store.etcd.info
function client:swap(req) end

--- Adds to a number, however many others do so.
---@async
---@param req silly.store.etcd.increment|string or the `key` alone
---@return silly.store.etcd.increment.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.increment.response
---@return_overload nil, string, silly.store.etcd.info
function client:increment(req) end

-- docs: end

--- Compares, then runs one of two lists of operations, all in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response nil on failure; comparisons that do not hold are no failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.txn.response
---@return_overload nil, string, silly.store.etcd.info
function client:txn(req) end

--- Creates a lease and renews it in the background, unless the request says `keepalive = false`.
---@async
---@nodiscard
---@param req silly.store.etcd.grant|integer|string or the TTL alone
---@return silly.store.etcd.grant.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.grant.response
---@return_overload nil, string, silly.store.etcd.info
function client:grant(req) end

--- Renews a lease once. With an id instead of a request it is also renewed in the background from then on.
---@async
---@nodiscard
---@param req silly.store.etcd.keepalive.request|silly.store.etcd.id
---@return silly.store.etcd.keepalive? stream nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.keepalive
---@return_overload nil, string, silly.store.etcd.info
function client:keepalive(req) end

--- Watches a key, or a range of keys. Returns once the server has confirmed it.
---@async
---@nodiscard
---@param req silly.store.etcd.watch.request|string or the key alone
---@return silly.store.etcd.watch? stream nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch
---@return_overload nil, string, silly.store.etcd.info
function client:watch(req) end

--- Reads all keys of a range as they are at one revision, page by page.
---@async
---@nodiscard
---@param req silly.store.etcd.scan.request|string or the key alone
---@return silly.store.etcd.scan? keys nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.scan
---@return_overload nil, string, silly.store.etcd.info
function client:scan(req) end

--- Keeps a range of keys here, to be read without a call. Returns once it is loaded, or read from its file.
---@async
---@nodiscard
---@param req silly.store.etcd.cache.request|string or the key alone
---@return silly.store.etcd.cache? copy nil where the first load did not come in time
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cache
---@return_overload nil, string, silly.store.etcd.info
function client:cache(req) end

--- Follows who is registered under a name.
---@async
---@nodiscard
---@param req silly.store.etcd.discover|string or the name alone
---@return silly.store.etcd.discovery? service nil where the first list did not come in time
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.discovery
---@return_overload nil, string, silly.store.etcd.info
function client:discover(req) end

--- Keeps an entry in the store until it is closed: a key under a lease, put again whenever either is lost.
---@async
---@param req silly.store.etcd.register
---@return silly.store.etcd.registration? entry nil where it was not there in time
---@return string? message one line for a person
---@return silly.store.etcd.info? info "already_exists" where the key is somebody else's
---@return_overload silly.store.etcd.registration
---@return_overload nil, string, silly.store.etcd.info
function client:register(req) end

--- A lease that several locks and candidacies share, renewed until it is closed or lost.
---@async
---@nodiscard
---@param req? silly.store.etcd.session.request
---@return silly.store.etcd.session? session nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.session
---@return_overload nil, string, silly.store.etcd.info
function client:session(req) end

--- Waits for its turn, and holds the lock of a name until it is unlocked or lost.
---@async
---@nodiscard
---@param req silly.store.etcd.lock.request|string or the name alone
---@return silly.store.etcd.lock? lock nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "locked" where it was not its turn in time
---@return_overload silly.store.etcd.lock
---@return_overload nil, string, silly.store.etcd.info
function client:lock(req) end

--- Waits until it leads under a name, and does so until it resigns or loses the leadership.
---@async
---@nodiscard
---@param req silly.store.etcd.campaign|string or the name alone
---@return silly.store.etcd.leader? leader nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "locked" where it was not its turn in time
---@return_overload silly.store.etcd.leader
---@return_overload nil, string, silly.store.etcd.info
function client:campaign(req) end

--- Follows who leads under a name, or holds the lock of that name.
---@async
---@nodiscard
---@param req silly.store.etcd.observe|string or the name alone
---@return silly.store.etcd.observer? observer nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.observer
---@return_overload nil, string, silly.store.etcd.info
function client:observe(req) end

--- Runs a function whose reads and writes are one transaction, until nobody has changed what it has read. An error of
--- the function is raised again.
---@async
---@param req silly.store.etcd.stm|fun(tx: silly.store.etcd.tx): any, string? or the function alone
---@return silly.store.etcd.stm.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "aborted" where others were always faster, "cancelled" where the function returned nil and a reason
---@return_overload silly.store.etcd.stm.response
---@return_overload nil, string, silly.store.etcd.info
function client:stm(req) end

--- What the client counts, and what it has now. Asks no server.
---@nodiscard
---@return silly.store.etcd.stats? stats nil in a process that was forked off
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.stats
---@return_overload nil, string, silly.store.etcd.info
function client:stats() end

--- The same as the text that Prometheus reads.
---@nodiscard
---@return string text
function client:metrics() end

--- What is known of each server, in the order in which they are asked. Asks none of them.
---@nodiscard
---@return silly.store.etcd.endpoint[]? endpoints nil in a process that was forked off
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.endpoint[]
---@return_overload nil, string, silly.store.etcd.info
function client:endpoints() end

--- Replaces the servers. Those that stay keep their connections; watches and renewals leave the others at once.
---@param endpoints string[] as `endpoints` of the configuration
---@return true? done nil on failure: nothing has changed
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload true
---@return_overload nil, string, silly.store.etcd.info
function client:setendpoints(endpoints) end

--- Asks the cluster for its members, and uses the addresses that they give, before those of the program, where they lead
--- to this cluster.
---@async
---@param req silly.store.etcd.sync?
---@return silly.store.etcd.endpoint[]? endpoints all servers, as `client:endpoints` returns them; nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.endpoint[]
---@return_overload nil, string, silly.store.etcd.info
function client:sync(req) end

--- Asks each server at once, or the one of the request, whether it serves: by a read that takes a quorum.
---@async
---@nodiscard
---@param req silly.store.etcd.health?
---@return silly.store.etcd.health.response? response nil on failure: the client is closed
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.health.response
---@return_overload nil, string, silly.store.etcd.info
function client:health(req) end

--- What happens to the client from now on, to be read: connections that are lost, watches that are cut off, locks that
--- are gone, calls that are slow. Asks no server.
---@nodiscard
---@return silly.store.etcd.records? records nil in a process that was forked off
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.records
---@return_overload nil, string, silly.store.etcd.info
function client:records() end

--- A client whose keys all lie under a prefix in this one's, and which shares all else with it.
---@nodiscard
---@param prefix string not empty
---@return silly.store.etcd.client? inner nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.client
---@return_overload nil, string, silly.store.etcd.info
function client:namespace(prefix) end

--- Ends everything: calls and watches under way answer with the code "closed", and so does every later call. Leases
--- are renewed no longer and end with their TTL. May be called again; `<close>` and the collector do the same.
function client:close() end

--- Users, roles, and whether anybody must log in.
---@class silly.store.etcd.auth
local auth = {}

-- docs: auth
--- Switches authentication on. There must be a user `root` with the role `root`.
---@async
---@param req silly.store.etcd.auth.enable?
---@return silly.store.etcd.auth.enable.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.enable.response
---@return_overload nil, string, silly.store.etcd.info
function auth:enable(req) end

--- Switches authentication off.
---@async
---@param req silly.store.etcd.auth.disable?
---@return silly.store.etcd.auth.disable.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.disable.response
---@return_overload nil, string, silly.store.etcd.info
function auth:disable(req) end

--- Is authentication switched on?
---@async
---@nodiscard
---@param req silly.store.etcd.auth.status?
---@return silly.store.etcd.auth.status.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.status.response
---@return_overload nil, string, silly.store.etcd.info
function auth:status(req) end

--- Adds a user.
---@async
---@param req silly.store.etcd.auth.useradd
---@return silly.store.etcd.auth.useradd.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.useradd.response
---@return_overload nil, string, silly.store.etcd.info
function auth:useradd(req) end

--- The roles of a user.
---@async
---@nodiscard
---@param req silly.store.etcd.auth.userget|string or the `name` alone
---@return silly.store.etcd.auth.userget.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.userget.response
---@return_overload nil, string, silly.store.etcd.info
function auth:userget(req) end

--- All users.
---@async
---@nodiscard
---@param req silly.store.etcd.auth.userlist?
---@return silly.store.etcd.auth.userlist.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.userlist.response
---@return_overload nil, string, silly.store.etcd.info
function auth:userlist(req) end

--- Deletes a user.
---@async
---@param req silly.store.etcd.auth.userdelete|string or the `name` alone
---@return silly.store.etcd.auth.userdelete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.userdelete.response
---@return_overload nil, string, silly.store.etcd.info
function auth:userdelete(req) end

--- Gives a user another password.
---@async
---@param req silly.store.etcd.auth.userpassword
---@return silly.store.etcd.auth.userpassword.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.userpassword.response
---@return_overload nil, string, silly.store.etcd.info
function auth:userpassword(req) end

--- Gives a role to a user.
---@async
---@param req silly.store.etcd.auth.usergrant
---@return silly.store.etcd.auth.usergrant.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.usergrant.response
---@return_overload nil, string, silly.store.etcd.info
function auth:usergrant(req) end

--- Takes a role from a user.
---@async
---@param req silly.store.etcd.auth.userrevoke
---@return silly.store.etcd.auth.userrevoke.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.userrevoke.response
---@return_overload nil, string, silly.store.etcd.info
function auth:userrevoke(req) end

--- Adds a role, which permits nothing yet.
---@async
---@param req silly.store.etcd.auth.roleadd|string or the `name` alone
---@return silly.store.etcd.auth.roleadd.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.roleadd.response
---@return_overload nil, string, silly.store.etcd.info
function auth:roleadd(req) end

--- What a role permits.
---@async
---@nodiscard
---@param req silly.store.etcd.auth.roleget|string or the `role` alone
---@return silly.store.etcd.auth.roleget.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.roleget.response
---@return_overload nil, string, silly.store.etcd.info
function auth:roleget(req) end

--- All roles.
---@async
---@nodiscard
---@param req silly.store.etcd.auth.rolelist?
---@return silly.store.etcd.auth.rolelist.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.rolelist.response
---@return_overload nil, string, silly.store.etcd.info
function auth:rolelist(req) end

--- Deletes a role, and takes it from all users.
---@async
---@param req silly.store.etcd.auth.roledelete|string or the `role` alone
---@return silly.store.etcd.auth.roledelete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.roledelete.response
---@return_overload nil, string, silly.store.etcd.info
function auth:roledelete(req) end

--- Permits a role to read or write a key or a range of keys.
---@async
---@param req silly.store.etcd.auth.rolegrant
---@return silly.store.etcd.auth.rolegrant.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.rolegrant.response
---@return_overload nil, string, silly.store.etcd.info
function auth:rolegrant(req) end

--- Takes from a role what was granted for exactly this key or range.
---@async
---@param req silly.store.etcd.auth.rolerevoke
---@return silly.store.etcd.auth.rolerevoke.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.auth.rolerevoke.response
---@return_overload nil, string, silly.store.etcd.info
function auth:rolerevoke(req) end

-- docs: end

--- The members of the cluster.
---@class silly.store.etcd.cluster
local cluster = {}

-- docs: cluster
--- The members of the cluster.
---@async
---@nodiscard
---@param req silly.store.etcd.cluster.members?
---@return silly.store.etcd.cluster.members.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cluster.members.response
---@return_overload nil, string, silly.store.etcd.info
function cluster:members(req) end

--- Adds a member, which is started afterwards.
---@async
---@param req silly.store.etcd.cluster.add|string[] or the `peerURLs` alone
---@return silly.store.etcd.cluster.add.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cluster.add.response
---@return_overload nil, string, silly.store.etcd.info
function cluster:add(req) end

--- Gives a member other addresses for its peers.
---@async
---@param req silly.store.etcd.cluster.update
---@return silly.store.etcd.cluster.update.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cluster.update.response
---@return_overload nil, string, silly.store.etcd.info
function cluster:update(req) end

--- Removes a member.
---@async
---@param req silly.store.etcd.cluster.remove|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.cluster.remove.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cluster.remove.response
---@return_overload nil, string, silly.store.etcd.info
function cluster:remove(req) end

--- Makes a learner a member that votes.
---@async
---@param req silly.store.etcd.cluster.promote|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.cluster.promote.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cluster.promote.response
---@return_overload nil, string, silly.store.etcd.info
function cluster:promote(req) end

-- docs: end

--- The state of each member, and what is done about it.
---@class silly.store.etcd.maintenance
local maintenance = {}

-- docs: maintenance
--- What a member says of itself.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.status?
---@return silly.store.etcd.maintenance.status.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.status.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:status(req) end

--- The alarms that are raised.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.alarms?
---@return silly.store.etcd.maintenance.alarms.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.alarms.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:alarms(req) end

--- A hash of all that a member has stored.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.hash?
---@return silly.store.etcd.maintenance.hash.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.hash.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:hash(req) end

--- A hash of the keys of a member, as they were at a revision.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.hashkv?
---@return silly.store.etcd.maintenance.hashkv.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.hashkv.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:hashkv(req) end

--- Makes another member the leader.
---@async
---@param req silly.store.etcd.maintenance.moveleader|silly.store.etcd.id or the `targetID` alone
---@return silly.store.etcd.maintenance.moveleader.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.moveleader.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:moveleader(req) end

--- Prepares the cluster for an older version, or ends that.
---@async
---@param req silly.store.etcd.maintenance.downgrade|"VALIDATE"|"ENABLE"|"CANCEL" or the `action` alone
---@return silly.store.etcd.maintenance.downgrade.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.downgrade.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:downgrade(req) end

--- Ends alarms, and returns those that were raised.
---@async
---@param req silly.store.etcd.maintenance.disarm?
---@return silly.store.etcd.maintenance.alarms.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.alarms.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:disarm(req) end

--- Gives the free space of a member's store back to its file system.
---@async
---@param req silly.store.etcd.maintenance.defragment?
---@return silly.store.etcd.maintenance.defragment.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.defragment.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:defragment(req) end

--- Copies the whole store of a member, to a file or to a function.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.snapshot|string or the `file` alone
---@return silly.store.etcd.maintenance.snapshot.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.snapshot.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:snapshot(req) end

--- Compares what all members have stored.
---@async
---@nodiscard
---@param req silly.store.etcd.maintenance.compare?
---@return silly.store.etcd.maintenance.compare.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.maintenance.compare.response
---@return_overload nil, string, silly.store.etcd.info
function maintenance:compare(req) end

-- docs: end

--- The response of `client:keepalive`, and a stream for more renewals of the lease.
---@class silly.store.etcd.keepalive: silly.store.etcd.keepalive.response
local keepalive = {}

--- Renews the lease once more and waits for the response, which `read` returns.
---@async
---@param req silly.store.etcd.keepalive.request? the same lease, which is what is renewed without a request
---@return boolean? ok true, or nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload true
---@return_overload nil, string, silly.store.etcd.info
function keepalive:write(req) end

--- The newest response that was not read yet, at first that of `client:keepalive` itself. Where the lease is renewed in
--- the background and all is read, it waits for the next renewal or the loss of the lease.
---@async
---@nodiscard
---@param seconds? number how long to wait at the most; default: for ever
---@return silly.store.etcd.keepalive.response? response nil on failure
---@return string? message one line for a person; "timeout" when the time is over
---@return silly.store.etcd.info? info "lease_expired" with the reason; "failed_precondition" if nothing can come
---@return_overload silly.store.etcd.keepalive.response
---@return_overload nil, string, silly.store.etcd.info
function keepalive:read(seconds) end

--- Ends the stream. The lease and its renewal in the background go on. May be called again; `<close>` does the same.
function keepalive:close() end

--- A watch: every event of the watched keys exactly once, in order.
---@class silly.store.etcd.watch
local watch = {}

--- What the watch is doing: silence is told from loss. Costs no call.
---@nodiscard
---@return silly.store.etcd.watch.status? status nil in a forked child
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch.status
---@return_overload nil, string, silly.store.etcd.info
function watch:status() end

--- Waits for the next response. After the end of the watch every read says why it ended.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then and the watch lives on
---@return silly.store.etcd.watch.response? response nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch.response
---@return_overload nil, string, silly.store.etcd.info
function watch:read(seconds) end

--- Iterates over the events: `for event, response in stream:events() do`. A loop that is left loses nothing: the next
--- one, or `read`, goes on there. It ends when the watch or its client is closed; any other end is raised, and `read`
--- gives it as `nil, message, info`.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.watch.response? next nil at the end
function watch:events() end

--- Ends the watch. What was not read is dropped, and reads under way end with the code "closed". May be called again;
--- `<close>` and the collector do the same.
function watch:close() end

--- The same as `close`.
function watch:cancel() end

--- A scan: all keys of a range as they were at one revision.
---@class silly.store.etcd.scan
---@field header silly.store.etcd.header of the first response
---@field revision integer at which all keys are read
---@field count integer how many keys the range has
local scan = {}

--- The next page, nil after the last. Where the keys could not be read to their end: nil, why not, and the info.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then and the scan lives on
---@return silly.store.etcd.get.response? response nil at the end, or when the seconds are over
---@return string? message one line for a person; nil after the last page
---@return silly.store.etcd.info? info "compacted" where the revision is forgotten
function scan:read(seconds) end

--- Iterates over the keys: `for kv in scan:kvs() do`. Raises an error where they could not be read to their end.
---@nodiscard
---@return async fun(): silly.store.etcd.kv? next nil at the end
function scan:kvs() end

--- Gives the scan up. What was not read is dropped, and reads under way end with the code "closed". May be called again;
--- `<close>` and the collector do the same.
function scan:close() end

--- A range of keys that is always here, as it is at one revision.
---@class silly.store.etcd.cache
local cache = {}

--- The response of `client:get` to the same request, without a call. With `linearizable`, or a `min_revision` that is
--- not here yet, it waits.
---@async
---@nodiscard
---@param req silly.store.etcd.cache.get|string or the key alone
---@return silly.store.etcd.get.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "timeout" where `min_revision` did not come in time
---@return_overload silly.store.etcd.get.response
---@return_overload nil, string, silly.store.etcd.info
function cache:get(req) end

--- The value of a key, decoded once per change where the cache was made with `decode`.
---@param key string
---@return any value nil where there is no such key
---@return string? message why it cannot be told; nil where there is no such key
---@return silly.store.etcd.info? info nil where it could not be decoded
function cache:value(key) end

--- Iterates over the keys of a prefix as they are now, in their order: `for kv in cache:kvs() do`. What comes meanwhile
--- does not change them. Raises an error where nothing is here.
---@nodiscard
---@param prefix? string default: the whole cache
---@return fun(): silly.store.etcd.kv? next nil at the end
function cache:kvs(prefix) end

--- Follows what changes from now on; with `initial` all that is here comes first.
---@nodiscard
---@param req? silly.store.etcd.cache.follow
---@return silly.store.etcd.changes? changes nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.changes
---@return_overload nil, string, silly.store.etcd.info
function cache:changes(req) end

--- What the cache is doing. Costs no call.
---@nodiscard
---@return silly.store.etcd.cache.status? status nil in a forked child
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.cache.status
---@return_overload nil, string, silly.store.etcd.info
function cache:status() end

--- Ends the cache. Reads that wait end with the code "closed"; what follows its changes goes on. May be called again;
--- `<close>` and the collector do the same.
function cache:close() end

--- What has changed in a cache since it was read last, the newest of each key.
---@class silly.store.etcd.changes
local changes = {}

--- Waits for the next changes: all those since the last read, in one response.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.changes.response? response nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.changes.response
---@return_overload nil, string, silly.store.etcd.info
function changes:read(seconds) end

--- Iterates over the changes: `for event, response in changes:events() do`. A loop that is left loses nothing. It ends
--- when the changes, or the client, are closed.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.changes.response? next nil at the end
function changes:events() end

--- Reads no more. May be called again; `<close>` and the collector do the same.
function changes:close() end

--- An entry that is there until it is closed.
---@class silly.store.etcd.registration
---@field header? silly.store.etcd.header of the response to the first put; nil where that was not waited for
---@field key string
---@field id? string nil where it was registered by its `key`
---@field lease silly.store.etcd.id the first; `status` has the one that it lives under now
local registration = {}

--- Gives the entry another value. Returns once it is there.
---@async
---@param req silly.store.etcd.registration.update
---@return silly.store.etcd.registration.update.response? response nil where that was not in time; it is put later then
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.registration.update.response
---@return_overload nil, string, silly.store.etcd.info
function registration:update(req) end

--- Is the entry there for certain: was its lease renewed in time?
---@nodiscard
---@return boolean
function registration:held() end

--- Whether the entry is there. Costs no call.
---@nodiscard
---@return silly.store.etcd.registration.status? status nil in a forked child
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.registration.status
---@return_overload nil, string, silly.store.etcd.info
function registration:status() end

--- Waits until the status changes, and returns it.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.registration.status? status nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.registration.status
---@return_overload nil, string, silly.store.etcd.info
function registration:read(seconds) end

--- Ends the registration, and waits until the entry is gone. May be called again; `<close>` does the same.
---@async
function registration:close() end

--- Who is registered under a name.
---@class silly.store.etcd.discovery
local discovery = {}

--- Who is registered, in the order of their ids. Costs no call. The tables are shared: do not change them.
---@nodiscard
---@return silly.store.etcd.discovery.entry[] entries
function discovery:list() end

--- One of them: at random, one after the other, or the one that a key belongs to, the same in every process.
---@nodiscard
---@param policy? "random"|"roundrobin"|{ key: string } default: "random"
---@return silly.store.etcd.discovery.entry? entry nil where there is none
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.discovery.entry
---@return_overload nil, string, silly.store.etcd.info
function discovery:pick(policy) end

--- Follows who comes, changes and goes; with `initial` those who are there come first.
---@nodiscard
---@param req? { initial: boolean? }
---@return silly.store.etcd.discovery.changes? changes nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.discovery.changes
---@return_overload nil, string, silly.store.etcd.info
function discovery:changes(req) end

--- Whether the list is current, and how many values are none of an entry. Costs no call.
---@nodiscard
---@return silly.store.etcd.discovery.status? status nil in a forked child
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.discovery.status
---@return_overload nil, string, silly.store.etcd.info
function discovery:status() end

--- Ends it. May be called again; `<close>` and the collector do the same.
function discovery:close() end

--- Who comes, changes and goes.
---@class silly.store.etcd.discovery.changes
local changes = {}

--- Waits for the next change: who has come or changed, or gone. Of one who has gone it has what was known last.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.discovery.event? event nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.discovery.event
---@return_overload nil, string, silly.store.etcd.info
function changes:read(seconds) end

--- Iterates over the changes: `for event in changes:events() do`. It ends when they, or the client, are closed.
---@nodiscard
---@return async fun(): silly.store.etcd.discovery.event? next nil at the end
function changes:events() end

--- Reads no more. May be called again; `<close>` and the collector do the same.
function changes:close() end

--- A lease that is renewed until it is closed or lost, though the program forgets it.
---@class silly.store.etcd.session
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id of the lease
---@field TTL integer its TTL, seconds
local session = {}

--- Does it live for certain? Costs no call.
---@nodiscard
---@return boolean
function session:held() end

--- Waits until it has ended, and returns why.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.loss? loss nil when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.loss
---@return_overload nil, string, silly.store.etcd.info
function session:wait(seconds) end

--- Renews the lease no longer, and leaves it and all keys on it to another process, which has its TTL's time to take it
--- over with `client:session { ID = … }`.
---@return silly.store.etcd.id? ID nil where it has ended already
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.id
---@return_overload nil, string, silly.store.etcd.info
function session:orphan() end

--- Ends it and all that lives on it, and waits until its lease is revoked. May be called again.
---@async
---@return true? revoked
---@return string? message one line for a person
---@return silly.store.etcd.info? info
function session:revoke() end

--- Ends it in the background. May be called again; `<close>` does the same.
function session:close() end

--- A lock that is held until it is unlocked or lost, though the program forgets it.
---@class silly.store.etcd.lock
---@field header silly.store.etcd.header
---@field key string
---@field revision integer when the key was created: a number that grows with every holder
---@field lease silly.store.etcd.id which the key lives under
local lock = {}

--- Is it held for certain? Costs no call, and is never true for longer than the server keeps the lease.
---@nodiscard
---@return boolean
function lock:held() end

--- Waits until it is not held any longer, and returns why.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.loss? loss nil when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.loss
---@return_overload nil, string, silly.store.etcd.info
function lock:wait(seconds) end

--- What `client:txn` compares to do something only while it is held.
---@nodiscard
---@return silly.store.etcd.txn.compare[] compare
function lock:compare() end

--- `client:put`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.put.response
---@return_overload nil, string, silly.store.etcd.info
function lock:put(req) end

--- `client:delete`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.delete|string or the `key` alone
---@return silly.store.etcd.delete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.delete.response
---@return_overload nil, string, silly.store.etcd.info
function lock:delete(req) end

--- `client:txn`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.txn.response
---@return_overload nil, string, silly.store.etcd.info
function lock:txn(req) end

--- Runs a function while it is held, and unlocks it whatever happens. An error of the function is raised again.
---@async
---@param f fun(lock: silly.store.etcd.lock, ...: any): ...: any
---@param ... any arguments for `f`
---@return any ... what `f` has returned; nil, why and the info where the lock was lost meanwhile
function lock:run(f, ...) end

--- Unlocks it, and waits until its key is gone. May be called again.
---@async
---@return true? unlocked
---@return string? message one line for a person
---@return silly.store.etcd.info? info
function lock:unlock() end

--- Unlocks it in the background. May be called again; `<close>` does the same.
function lock:close() end

--- Leadership that is held until it is given up or lost, though the program forgets it.
---@class silly.store.etcd.leader
---@field header silly.store.etcd.header
---@field key string
---@field revision integer when the key was created: a number that grows with every holder
---@field lease silly.store.etcd.id which the key lives under
local leader = {}

--- Is it held for certain? Costs no call, and is never true for longer than the server keeps the lease.
---@nodiscard
---@return boolean
function leader:held() end

--- Waits until it is not held any longer, and returns why.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.loss? loss nil when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.loss
---@return_overload nil, string, silly.store.etcd.info
function leader:wait(seconds) end

--- What `client:txn` compares to do something only while it is held.
---@nodiscard
---@return silly.store.etcd.txn.compare[] compare
function leader:compare() end

--- `client:put`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.put.response
---@return_overload nil, string, silly.store.etcd.info
function leader:put(req) end

--- `client:delete`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.delete|string or the `key` alone
---@return silly.store.etcd.delete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.delete.response
---@return_overload nil, string, silly.store.etcd.info
function leader:delete(req) end

--- `client:txn`, but only while it is held, in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it is not held any more
---@return_overload silly.store.etcd.txn.response
---@return_overload nil, string, silly.store.etcd.info
function leader:txn(req) end

--- Tells those who observe something else, if it leads still.
---@async
---@param req silly.store.etcd.proclaim|string or the `value` alone
---@return silly.store.etcd.proclaim.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info "lost" where it does not lead any more
---@return_overload silly.store.etcd.proclaim.response
---@return_overload nil, string, silly.store.etcd.info
function leader:proclaim(req) end

--- Gives the leadership up, and waits until its key is gone. May be called again.
---@async
---@return true? resigned
---@return string? message one line for a person
---@return silly.store.etcd.info? info
function leader:resign() end

--- Resigns in the background. May be called again; `<close>` does the same.
function leader:close() end

--- What tells who leads.
---@class silly.store.etcd.observer
local observer = {}

--- Waits until another leads, or nobody does; the first time it returns who leads now.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then
---@return silly.store.etcd.leader.response? response nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.leader.response
---@return_overload nil, string, silly.store.etcd.info
function observer:read(seconds) end

--- Iterates over the same: `for led in observer:changes() do`. It ends when the observer, or the client, is closed.
---@nodiscard
---@return async fun(): silly.store.etcd.leader.response? next nil at the end
function observer:changes() end

--- The leader as far as is known; nil where nobody leads. Costs no call.
---@nodiscard
---@return silly.store.etcd.kv? kv
---@return string? message one line for a person, where it is not known
---@return silly.store.etcd.info? info
function observer:kv() end

--- Follows no longer. May be called again; `<close>` and the collector do the same.
function observer:close() end

--- A transaction of code, for the time that its function runs.
---@class silly.store.etcd.tx
local tx = {}

--- The value of a key, nil where there is none; or the keys of a range. Sees what the function has written. All reads are
--- of one revision. What cannot be read ends the transaction.
---@async
---@nodiscard
---@param req silly.store.etcd.tx.get|string a table, or the key alone
---@return any value of the key; with a table the list of keys
---@overload fun(self: silly.store.etcd.tx, key: string): string?
---@overload fun(self: silly.store.etcd.tx, req: silly.store.etcd.tx.get): silly.store.etcd.kv[]
function tx:get(req) end

--- Puts a key when the transaction commits.
---@param key silly.store.etcd.tx.put|string a table, or the key
---@param value string?
function tx:put(key, value) end

--- Deletes a key, or the keys of a range, when the transaction commits.
---@param req silly.store.etcd.tx.delete|string a table, or the key alone
function tx:delete(req) end

return etcd
