-- TLS on nodes of its own: who is trusted, and each failure in words. The certificates are made for the run.

local silly_etcd = require "silly.store.etcd"
local etcd = require "spec.support.etcd"

local dir

-- One certificate by `openssl`: `name` is signed by `ca` for the alternative names `san`.
local function sign(name, ca, san, options)
	local script = ([[
		cd %s
		openssl req -newkey rsa:2048 -nodes -keyout %s.key -out %s.csr -subj /CN=%s
		printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' >%s.ext
		%s openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile %s.ext -out %s.pem
	]]):format(dir, name, name, name, san, name, options or "", name, ca, ca, name, name)
	local status, output = etcd.sh("set -e\n" .. script)
	assert(status == 0, output)
end

local function authority(name)
	local status, output = etcd.sh(("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout %s.key "
		.. "-out %s.pem -subj /CN=%s -addext basicConstraints=critical,CA:TRUE"):format(dir, name, name, name))
	assert(status == 0, output)
end

local function path(name)
	return dir .. "/" .. name
end

local function text(name)
	local file = assert(io.open(path(name)))
	local content = file:read("*a")
	file:close()
	return content
end

local function serve(name, ...)
	return etcd.start { flags = { "--cert-file=" .. path(name .. ".pem"), "--key-file=" .. path(name .. ".key"), ... } }
end

local function put(endpoint, tls, conf)
	conf = conf or {}
	conf.endpoints, conf.tls = { endpoint }, tls
	local client <close> = silly_etcd.newclient(conf)
	return client:put { key = "k", value = "v" }
end

-- The call fails for TLS, certainly changed nothing, and says why.
local function refused(reason, ...)
	local ok, message, info = put(...)
	assert.is_nil(ok)
	assert.matches(reason, message, 1, true)
	assert.equal("tls", info.code)
	assert.equal("no", info.applied)
end

describe("TLS", function()
	local node, strict

	setup(function()
		dir = select(2, etcd.sh("mktemp -d")):gsub("%s+$", "")
		authority "ca"
		authority "stranger"
		sign("server", "ca", "IP:127.0.0.1,DNS:localhost")
		sign("elsewhere", "ca", "DNS:example.com")
		sign("expired", "ca", "IP:127.0.0.1", "faketime '10 days ago'")
		sign("client", "ca", "DNS:client")
		sign("impostor", "stranger", "DNS:client")
		node = serve "server"
		strict = serve("server", "--client-cert-auth", "--trusted-ca-file=" .. path "ca.pem")
	end)

	teardown(function()
		etcd.sh("rm -r " .. dir)
	end)

	it("S1: trusts the given authority, as a path or as PEM text", function()
		assert(put(node.endpoint, { ca = path "ca.pem" }))
		assert(put(node.endpoint, { ca = text "ca.pem" }))
		assert(put("https://" .. node.endpoint, { ca = path "ca.pem" }))
	end)

	it("S1: checks the name that servername says", function()
		assert(put(node.endpoint, { ca = path "ca.pem", servername = "localhost" }))
		refused("the server's certificate is for another name", node.endpoint,
			{ ca = path "ca.pem", servername = "example.com" })
	end)

	it("S1: a server that an unknown authority has signed", function()
		refused("signed by an unknown authority", node.endpoint, { ca = path "stranger.pem" })
	end)

	it("S1: trusts the system's authorities by default, for https without tls too", function()
		refused("signed by an unknown authority", node.endpoint, {})
		refused("signed by an unknown authority", "https://" .. node.endpoint)
	end)

	it("S1: a certificate for another name", function()
		refused("the server's certificate is for another name", serve("elsewhere").endpoint, { ca = path "ca.pem" })
	end)

	it("S1: a certificate that has expired", function()
		refused("the server's certificate has expired", serve("expired").endpoint, { ca = path "ca.pem" })
	end)

	it("S1: everything is trusted only where insecure_skip_verify says so", function()
		assert(put(serve("elsewhere").endpoint, { insecure_skip_verify = true }))
	end)

	it("S1: a server that has signed for itself is reached where insecure_skip_verify says so", function()
		local auto = etcd.start { flags = { "--auto-tls" } }
		-- Later versions sign with a curve that can be verified, and are not trusted for that.
		local reason = etcd.version():find "^3%.4%." and "curve P-521 cannot be verified" or "signed by an unknown authority"
		refused(reason, auto.endpoint, {})
		assert(put(auto.endpoint, { insecure_skip_verify = true }))
	end)

	it("S2: shows the client's certificate", function()
		assert(put(strict.endpoint, { ca = path "ca.pem", cert = path "client.pem", key = path "client.key" }))
		assert(put(strict.endpoint, { ca = path "ca.pem", cert = text "client.pem", key = text "client.key" }))
	end)

	it("S2: a server that misses the client's certificate", function()
		refused("the server refuses the client's certificate, or wants one", strict.endpoint, { ca = path "ca.pem" })
	end)

	it("S2: a server that does not trust the client's certificate", function()
		refused("the server refuses the client's certificate, or wants one", strict.endpoint,
			{ ca = path "ca.pem", cert = path "impostor.pem", key = path "impostor.key" })
	end)

	it("S2: is told at the first attempt, each time", function()
		for _ = 1, 50 do
			refused("the server refuses the client's certificate, or wants one", strict.endpoint,
				{ ca = path "ca.pem", cert = path "impostor.pem", key = path "impostor.key" }, { retry = 0 })
		end
	end)

	it("S3: never falls back to plain text, and never starts TLS by itself", function()
		local plain = etcd.start()
		refused("the server broke off the TLS handshake", plain.endpoint, { ca = path "ca.pem" })
		local ok, message, info = put(node.endpoint, nil, { retry = 0 })
		assert.is_nil(ok)
		assert.matches("unavailable", message, 1, true)
		assert.equal("no", info.applied)
	end)

	it("S5: a renewed certificate is read at the next connection", function()
		etcd.sh(("cp %s %s; cp %s %s"):format(path "stranger.pem", path "rotating.pem", path "ca.pem", path "next.pem"))
		local client <close> = silly_etcd.newclient { endpoints = { node.endpoint }, tls = { ca = path "rotating.pem" } }
		assert.is_nil(client:put { key = "k", value = "v" })
		etcd.sh(("mv %s %s"):format(path "next.pem", path "rotating.pem"))
		local ok
		local tries = 0
		repeat -- the refusal is remembered for a moment
			ok, tries = client:put { key = "k", value = "v" }, tries + 1
		until ok or tries == 1000 or etcd.sh "sleep 0.01" ~= 0
		assert(ok)
	end)

	it("S5: so is a renewed certificate of the client, with its key", function()
		local function hand(name)
			for _, kind in ipairs { "pem", "key" } do
				assert.equal(0, (etcd.sh(("cp %s %s && mv %s %s"):format(
					path(name .. "." .. kind), path "next", path "next", path("mine." .. kind)))))
			end
			strict:kill()
			strict:start()
		end
		hand "client"
		local client <close> = silly_etcd.newclient {
			endpoints = { strict.endpoint }, tls = { ca = path "ca.pem", cert = path "mine.pem", key = path "mine.key" },
		}
		assert(client:put { key = "k", value = "v" })
		hand "impostor"
		local ok, _, info = client:put { key = "k", value = "v", retry = 0 }
		assert.is_nil(ok)
		assert.equal("tls", info.code)
		hand "client"
		assert(client:put { key = "k", value = "v" })
	end)

	it("S4: shows nothing of a private key, be it of use or not", function()
		local key = text "client.key"
		local inside = key:match "\n(%w+)"
		local function hidden(shown)
			assert.is_nil(tostring(shown):find(inside, 1, true))
		end
		for _, tls in ipairs {
			{ key = key }, { cert = text "impostor.pem", key = key }, { cert = key, key = key }, { ca = key },
			{ cert = text "client.pem", key = key:gsub("END", "ENDE") }, { cert = text "client.pem", key = "\0" .. key },
			{ cert = text "client.pem", key = { key } }, { servername = key }, { cert = text "client.pem", kex = key },
		} do
			local ok, problem = pcall(silly_etcd.newclient, { endpoints = { "127.0.0.1:1" }, tls = tls })
			hidden(problem)
			if ok then
				hidden(select(2, problem:get { key = "k", retry = 0 }))
			end
		end
		local client <close> = silly_etcd.newclient {
			endpoints = { strict.endpoint }, tls = { ca = path "stranger.pem", cert = text "client.pem", key = key },
		}
		hidden(client)
		hidden(select(2, client:put { key = "k", value = "v" }))
	end)

	it("a watch and a lease live on it too", function()
		local client <close> = silly_etcd.newclient { endpoints = { node.endpoint }, tls = { ca = path "ca.pem" } }
		local watch = assert(client:watch { key = "watched" })
		local lease = assert(client:grant { TTL = 60 })
		assert(client:put { key = "watched", value = "v", lease = lease.ID })
		assert.equal("v", assert(watch:read()).events[1].kv.value)
	end)

	local function throws(message, conf)
		local ok, err = pcall(silly_etcd.newclient, conf)
		assert.is_false(ok)
		assert.matches(message, err, 1, true)
	end

	it("newclient refuses what cannot work, and says which field", function()
		local e = { "127.0.0.1:1" }
		throws("field 'tls' must be a table", { endpoints = e, tls = true })
		throws("tls: unknown field 'cacert'", { endpoints = e, tls = { cacert = "x" } })
		throws("tls: missing field 'key'", { endpoints = e, tls = { cert = path "client.pem" } })
		throws("tls: missing field 'cert'", { endpoints = e, tls = { key = path "client.key" } })
		throws("nowhere.pem: No such file", { endpoints = e, tls = { ca = path "nowhere.pem" } })
		throws("client.key holds no certificate", { endpoints = e, tls = { ca = path "client.key" } })
		throws("certificate and key do not fit",
			{ endpoints = e, tls = { cert = path "client.pem", key = path "impostor.key" } })
		throws("field 'tls' contradicts an endpoint that says http://", { endpoints = { "http://h:1" }, tls = {} })
		throws("field 'endpoints' mixes https with others", { endpoints = { "https://h:1", "http://h:2" } })
	end)
end)
