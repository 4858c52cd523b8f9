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

-- The same where it is the server that refuses: which alert it sends for what is up to its version.
local function rejected(...)
	local ok, message, info = put(...)
	assert.is_nil(ok)
	assert.is_truthy(message:find "the server refuses the client's certificate, or wants one"
		or message:find "the server wants a client certificate"
		or message:find "the server does not know who signed the client's certificate", message)
	assert.equal("tls", info.code)
	assert.equal("no", info.applied)
end

-- What openssl does, in the folder of the certificates.
local function openssl(...)
	for _, arguments in ipairs { ... } do
		local status, output = etcd.sh(("cd %s && %s"):format(dir, arguments))
		assert(status == 0, output)
	end
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
		local ok, message, info = put(auto.endpoint, {})
		assert.is_nil(ok)
		-- On which curve it signs is up to its version.
		assert.is_truthy(message:find "curve P%-521 cannot be verified" or message:find "signed by an unknown authority",
			message)
		assert.same({ "tls", "no" }, { info.code, info.applied })
		assert(put(auto.endpoint, { insecure_skip_verify = true }))
	end)

	it("S2: shows the client's certificate", function()
		assert(put(strict.endpoint, { ca = path "ca.pem", cert = path "client.pem", key = path "client.key" }))
		assert(put(strict.endpoint, { ca = path "ca.pem", cert = text "client.pem", key = text "client.key" }))
	end)

	it("S2: leaves it to the server what to think of the client's certificate", function()
		openssl(
			"openssl req -newkey rsa:2048 -nodes -keyout v1.key -out v1.csr -subj /CN=v1",
			"openssl x509 -req -in v1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out v1.pem",
			"openssl x509 -in v1.pem -noout -text | grep -q 'Version: 1 '",
			"openssl req -newkey rsa:2048 -nodes -keyout odd.key -out odd.csr -subj /CN=odd",
			"printf '1.2.3.4=critical,ASN1:NULL\n' >odd.ext",
			"openssl x509 -req -in odd.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile odd.ext -out odd.pem"
		)
		assert(put(strict.endpoint, { ca = path "ca.pem", cert = path "v1.pem", key = path "v1.key" }))
		rejected(strict.endpoint, { ca = path "ca.pem", cert = path "odd.pem", key = path "odd.key" })
		for _, name in ipairs { "v1", "odd" } do
			local ok, problem = pcall(silly_etcd.newclient, { endpoints = { strict.endpoint },
				tls = { cert = path(name .. ".pem"), key = path "client.key" } })
			assert.is_false(ok)
			assert.matches("it is not the key of the certificate in 'cert'", problem, 1, true)
		end
	end)

	it("S2: a server that misses the client's certificate", function()
		rejected(strict.endpoint, { ca = path "ca.pem" })
	end)

	it("S2: a server that does not trust the client's certificate", function()
		rejected(strict.endpoint, { ca = path "ca.pem", cert = path "impostor.pem", key = path "impostor.key" })
	end)

	it("S2: is told at the first attempt, each time", function()
		for _ = 1, 50 do
			rejected(strict.endpoint, { ca = path "ca.pem", cert = path "impostor.pem", key = path "impostor.key" },
				{ retry = 0 })
		end
	end)

	it("S3: never falls back to plain text, and never starts TLS by itself", function()
		local plain = etcd.start()
		-- Some versions answer in plain text, others with nothing.
		local ok, message, info = put(plain.endpoint, { ca = path "ca.pem" }, { retry = 0 })
		assert.is_nil(ok)
		assert.is_truthy(message:find("speak TLS", 1, true), message)
		assert.equal("no", info.applied)
		ok, message, info = put(node.endpoint, nil, { retry = 0 })
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

	it("shows nothing of what 'key' holds, in whatever form and wherever it stands by mistake", function()
		openssl("openssl genpkey -algorithm ed25519 -out short.key", "openssl ecparam -genkey -name prime256v1 -out ec.key")
		for _, name in ipairs { "client.key", "short.key", "ec.key" } do
			local pem = text(name)
			local body = pem:match "PRIVATE KEY%-%-%-%-%-\n(.-)\n%-%-%-%-%-END"
			local line = body:gsub("\n", "")
			local function hidden(...)
				for i = 1, select("#", ...) do
					local shown = select(i, ...)
					for _, part in pairs(type(shown) == "table" and shown or { shown }) do
						for at = 1, #line - 7, 4 do
							assert.is_nil(tostring(part):find(line:sub(at, at + 7), 1, true))
						end
					end
				end
			end
			local forms = {
				pem, body, line, (pem:gsub("\n", "\r\n")), (body:gsub("\n", "\r\n")), (pem:gsub("\n", "")),
				(pem:gsub("\n", " ")), (pem:gsub("\n", "\\n")), (pem:gsub("%-%-%-%-%-END.*", "")),
				(pem:gsub("BEGIN", "BEGINN")), (pem:gsub("%-%-%-%-%-", "")), line .. "\n", " " .. line, line .. "=",
				"data:application/x-pem-file;base64," .. line, line:sub(1, 200), "file://" .. line,
			}
			for _, form in ipairs(forms) do
				for _, tls in ipairs {
					{ cert = path "client.pem", key = form }, { cert = form, key = form }, { cert = form, key = path "client.key" },
					{ ca = form }, { servername = form }, { key = form }, { key = { form } }, { form },
				} do
					local ok, problem = pcall(silly_etcd.newclient, { endpoints = { "127.0.0.1:1" }, tls = tls, retry = 0 })
					hidden(problem)
					if ok then
						hidden(problem:get { key = "k" })
						problem:close()
					end
				end
				for _, conf in ipairs {
					{ tls = form }, { endpoints = { pem } }, { endpoints = form }, { password = form }, { token = form, user = form },
					{ user = "u", password = { form } }, { token = { form } }, { timeout = form }, { retry_unknown = form },
				} do
					conf.endpoints = conf.endpoints or { "127.0.0.1:1" }
					hidden(pcall(silly_etcd.newclient, conf))
				end
			end
		end
	end)

	it("shows nothing of a key that is read while it is no key", function()
		openssl "cp client.pem mine.pem; cp client.key mine.key"
		local client <close> = silly_etcd.newclient {
			endpoints = { strict.endpoint }, tls = { ca = path "ca.pem", cert = path "mine.pem", key = path "mine.key" },
		}
		for _, content in ipairs { "secretsecret", "\x30\x82secretsecret", "-----BEGIN secretsecret", "" } do
			local file = assert(io.open(path "mine.key", "wb"))
			file:write(content)
			file:close()
			local ok, message, info = client:put { key = "k", value = "v", retry = 0 }
			assert.is_nil(ok)
			assert.same({ "unavailable", "no" }, { info.code, info.applied })
			assert.matches("'key' of 'tls' cannot be used: the file ", message, 1, true)
			assert.is_nil(message:find("secret", 1, true), message)
		end
		openssl "cp client.key mine.key"
		assert(client:put { key = "k", value = "v" })
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

	it("newclient says what to do about each mistake with certificates", function()
		openssl(
			"openssl pkey -in client.key -aes128 -passout pass:secret -out encrypted.key",
			"openssl rsa -in client.key -aes128 -passout pass:secret -traditional -out encrypted-rsa.key",
			"openssl pkey -in client.key -outform der -out der.key",
			"openssl x509 -in client.pem -outform der -out der.pem",
			"openssl pkey -in client.key -pubout -out public.key",
			"openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:secp521r1 -out p521.key",
			"openssl x509 -in client.pem -trustout -addtrust serverAuth -out trusted.pem",
			"cat ca.pem client.pem >backwards.pem",
			"cat client.pem ca.pem >chain.pem",
			"head -c 600 client.pem >cut.pem; head -c 600 client.key >cut.key; : >empty.pem; echo text >text.pem"
		)
		local cert, key = path "client.pem", path "client.key"
		for _, case in ipairs {
			{ "ca", "nowhere.pem: No such file or directory", { ca = path "nowhere.pem" } },
			{ "ca", ": Is a directory", { ca = dir } },
			{ "ca", "client.key holds no certificate, but a private key", { ca = key } },
			{ "ca", "client.csr holds no certificate, but a certificate request", { ca = path "client.csr" } },
			{ "ca", "trusted.pem holds no certificate, but a trusted certificate", { ca = path "trusted.pem" } },
			{ "ca", "empty.pem is empty", { ca = path "empty.pem" } },
			{ "ca", "der.pem holds DER, and PEM is wanted", { ca = path "der.pem" } },
			{ "ca", "text.pem holds something else, and PEM is wanted", { ca = path "text.pem" } },
			{ "ca", "cut.pem holds a certificate that is cut off or damaged", { ca = path "cut.pem" } },
			{ "ca", "the text holds a certificate that is cut off or damaged", { ca = text("ca.pem"):gsub("\n", "") } },
			{ "ca", "the text holds a certificate that is cut off or damaged", { ca = text("ca.pem"):gsub("\n", "\\n") } },
			{ "ca", "the text: its certificate 2 cannot be read",
				{ ca = text "ca.pem" .. "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" } },
			{ "ca", "neither a path nor PEM text", { ca = "" } },
			{ "cert", "client.key holds no certificate, but a private key", { cert = key, key = cert } },
			{ "cert", "der.pem holds DER, and PEM is wanted", { cert = path "der.pem", key = key } },
			{ "cert", "the certificate of 'key' must come first", { cert = path "backwards.pem", key = key } },
			{ "cert", "it holds a certificate that cannot be read",
				{ cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key = key } },
			{ "key", "it is not the key of the certificate in 'cert'", { cert = cert, key = path "impostor.key" } },
			{ "key", "the file holds no private key, but a certificate", { cert = cert, key = cert } },
			{ "key", "the file holds no private key, but a public key", { cert = cert, key = path "public.key" } },
			{ "key", "the file holds a key that is encrypted", { cert = cert, key = path "encrypted.key" } },
			{ "key", "the file holds a key that is encrypted", { cert = cert, key = path "encrypted-rsa.key" } },
			{ "key", "the text holds a key that is encrypted", { cert = cert, key = text "encrypted-rsa.key" } },
			{ "key", "the file holds DER, and PEM is wanted", { cert = cert, key = path "der.key" } },
			{ "key", "the file holds a private key that is cut off", { cert = cert, key = path "cut.key" } },
			{ "key", "the file: No such file or directory", { cert = cert, key = path "nowhere.key" } },
			{ "key", "the file: Is a directory", { cert = cert, key = dir } },
			{ "key", "No such file or directory; as text it would begin with '-----BEGIN'",
				{ cert = cert, key = text("client.key"):match "\n(%w+)" } },
			{ "key", "it is damaged, or no RSA, Ed25519, or ECDSA key", { cert = cert, key = path "p521.key" } },
			{ "servername", "it must be a host name or an IP address", { servername = "" } },
			{ "servername", "it must be a host name or an IP address", { servername = "localhost:2379" } },
			{ "servername", "it must be a host name or an IP address", { servername = "https://localhost" } },
			{ "servername", "it must be a host name or an IP address", { servername = "local host" } },
			{ "servername", "it must be a host name or an IP address", { servername = "localhost/" } },
			{ "servername", "it must be a host name or an IP address", { servername = "[::1]" } },
		} do
			local field, reason, tls = table.unpack(case)
			local ok, problem = pcall(silly_etcd.newclient, { endpoints = { "127.0.0.1:1" }, tls = tls })
			assert.is_false(ok)
			assert.matches(("newclient: tls: field '%s' "):format(field), problem, 1, true)
			assert.matches(reason, problem, 1, true)
		end
		for _, tls in ipairs {
			{ cert = path "chain.pem", key = key }, { cert = text("client.pem"):gsub("\n", "\r\n"), key = key },
			{ cert = text "client.pem" .. text "client.key", key = text "client.pem" .. text "client.key" },
			{ ca = text "ca.pem" .. text "stranger.pem" }, { servername = "::1" }, { servername = "10.0.0.1" },
			{ servername = "etcd.example.com" }, { ca = path "v1.pem" },
		} do
			silly_etcd.newclient({ endpoints = { "127.0.0.1:1" }, tls = tls }):close()
		end
	end)

	it("says what to do about each mistake with the server's certificate", function()
		openssl(
			-- openssl's default for a certificate that has signed itself is that of an authority.
			"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout itself.key -out itself.pem -subj /CN=127.0.0.1 "
				.. "-addext subjectAltName=IP:127.0.0.1",
			"openssl req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=127.0.0.1",
			"openssl x509 -req -in old.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out old.pem",
			"openssl req -newkey rsa:2048 -nodes -keyout unnamed.key -out unnamed.csr -subj /CN=127.0.0.1",
			"printf 'keyUsage=digitalSignature\n' >unnamed.ext",
			"openssl x509 -req -in unnamed.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile unnamed.ext "
				.. "-out unnamed.pem",
			"openssl req -newkey rsa:2048 -nodes -keyout other.key -out other.csr -subj /CN=127.0.0.1",
			"printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=clientAuth\n' >other.ext",
			"openssl x509 -req -in other.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile other.ext "
				.. "-out other.pem",
			-- Signed with one that is no authority's.
			"openssl x509 -req -in other.csr -CA server.pem -CAkey server.key -CAcreateserial -days 2 "
				.. "-extfile server.ext -out below.pem; cp other.key below.key; cat server.pem >>below.pem",
			-- Signed with SHA-1.
			"openssl x509 -req -sha1 -in other.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
				.. "-extfile server.ext -out weak.pem; cp other.key weak.key",
			-- An authority of the same name, with another key.
			"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout twin.key -out twin.pem -subj /CN=ca "
				.. "-addext basicConstraints=critical,CA:TRUE",
			"faketime '10 days' openssl x509 -req -in other.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
				.. "-extfile server.ext -out early.pem; cp other.key early.key"
		)
		for _, case in ipairs {
			{ "itself", "is an authority's (CA:TRUE): give the server one of its own", path "itself.pem" },
			{ "old", "is not of X.509 version 3: make one that is, with a subjectAltName", path "ca.pem" },
			{ "unnamed", "is for another name: it has none at all, for only a subjectAltName counts", path "ca.pem" },
			{ "elsewhere", "is for another name: example.com, and not 127.0.0.1, which 'servername' may change", path "ca.pem" },
			{ "other", "is not for servers: its extendedKeyUsage lacks serverAuth", path "ca.pem" },
			{ "below", "is signed with one that is no authority's (CA:FALSE)", path "ca.pem" },
			{ "weak", "is signed with an algorithm that cannot be verified here", path "ca.pem" },
			{ "server", "'ca' has the same name and another key", path "twin.pem" },
			{ "early", "is not valid yet: is a clock wrong?", path "ca.pem" },
			{ "expired", "has expired: renew it, unless this machine's clock is wrong", path "ca.pem" },
			{ "server", "is signed by an unknown authority: 'ca' must hold the certificate of that", path "stranger.pem" },
		} do
			local name, reason, ca = table.unpack(case)
			local peer = name == "server" and node or serve(name)
			refused(reason, peer.endpoint, { ca = ca })
			if peer ~= node then
				peer:kill()
			end
		end
	end)

	it("newclient refuses what cannot work, and says which field", function()
		local e = { "127.0.0.1:1" }
		throws("field 'tls' must be a table", { endpoints = e, tls = true })
		throws("tls: unknown field 'cacert'", { endpoints = e, tls = { cacert = "x" } })
		throws("tls: missing field 'key'", { endpoints = e, tls = { cert = path "client.pem" } })
		throws("tls: missing field 'cert'", { endpoints = e, tls = { key = path "client.key" } })
		throws("nowhere.pem: No such file", { endpoints = e, tls = { ca = path "nowhere.pem" } })
		throws("field 'tls' contradicts an endpoint that says http://", { endpoints = { "http://h:1" }, tls = {} })
		throws("field 'endpoints' mixes https with others", { endpoints = { "https://h:1", "http://h:2" } })
	end)
end)
