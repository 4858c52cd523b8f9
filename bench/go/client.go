// The contender in Go: clientv3, the official client.
//
// In: client ENDPOINT OPERATION N CALLERS SECONDS, see README.md. Out: "ready" when all is prepared; after a line on
// stdin the operation is carried out, then "done COUNT"; after one more nothing happens for SECONDS, if there are any,
// then "rested"; the process ends with its stdin.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	small     = 64
	manyKeys  = 1000
	largeSize = 1 << 20
	renewTTL  = 6
	idleTTL   = 30
	// So many events the server makes at a time, to as many waiting readers if there are so many.
	lump = 100
	// By so many callers leases, watches and clients are made.
	makers = 64
)

var (
	endpoint, operation = os.Args[1], os.Args[2]
	n, callers, seconds = number(os.Args[3]), number(os.Args[4]), number(os.Args[5])

	ctx   = context.Background()
	stdin = bufio.NewReader(os.Stdin)
	value = strings.Repeat("x", small)
)

func main() {
	switch operation {
	case "first":
		ready()
		get(connect())
		done(1)
	case "replay":
		replay()
	case "fanout":
		fanout()
	case "events":
		events()
	case "leases":
		client := connect()
		get(client)
		ready()
		grant(client, renewTTL)
		made()
	case "watches":
		client := connect()
		get(client)
		ready()
		watch(client, "bench/watched/")
		made()
	case "clients":
		clients()
	case "idle":
		idle()
	case "parked":
		parked()
	case "lock":
		lock()
	default:
		calls()
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(ok bool) {
	if !ok {
		log.Panic("not what was asked for")
	}
}

func say(text string) {
	fmt.Println(text)
	stdin.ReadString('\n')
}

func ready() { say("ready") }

func done(count int) { say(fmt.Sprint("done ", count)) }

// made is the end of an operation that leaves something behind, and the time in which it is only there.
func made() {
	done(n)
	time.Sleep(time.Duration(seconds) * time.Second)
	say("rested")
}

func key(prefix string, number int) string { return fmt.Sprintf("%s%06d", prefix, number) }

func connect() *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	must(err)
	return client
}

func get(client *clientv3.Client) {
	response, err := client.Get(ctx, "bench/one")
	must(err)
	check(len(response.Kvs[0].Value) == small)
}

func call(client *clientv3.Client, key string) {
	switch operation {
	case "put":
		_, err := client.Put(ctx, key, value)
		must(err)
	case "get":
		get(client)
	case "range":
		response, err := client.Get(ctx, "bench/many/", clientv3.WithPrefix())
		must(err)
		check(len(response.Kvs) == manyKeys)
	case "large":
		response, err := client.Get(ctx, "bench/large")
		must(err)
		check(len(response.Kvs[0].Value) == largeSize)
	case "txn":
		response, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.Version("bench/one"), ">", 0)).
			Then(clientv3.OpPut(key, value), clientv3.OpGet("bench/one"), clientv3.OpDelete("bench/none")).
			Commit()
		must(err)
		check(len(response.Responses) == 3)
	case "stm":
		_, err := concurrency.NewSTM(client, func(tx concurrency.STM) error {
			number, _ := strconv.Atoi(tx.Get(key))
			tx.Put(key, strconv.Itoa(number+1))
			return nil
		})
		must(err)
	default:
		log.Fatal("no operation ", operation)
	}
}

// share calls f for each number below count, in goroutines that each take every callers-th.
func share(count, callers int, f func(i, caller int)) {
	var group sync.WaitGroup
	for caller := 0; caller < callers; caller++ {
		group.Add(1)
		go func(caller int) {
			defer group.Done()
			for i := caller; i < count; i += callers {
				f(i, caller)
			}
		}(caller)
	}
	group.Wait()
}

func calls() {
	client := connect()
	keys := make([]string, callers)
	for caller := range keys {
		keys[caller] = key("bench/put/", caller)
	}
	warmAndRun(func(_, caller int) { call(client, keys[caller]) })
}

// warmAndRun calls one a tenth of the times as a warm-up, then so often as is measured.
func warmAndRun(one func(i, caller int)) {
	share(n/10, callers, one)
	ready()
	share(n, callers, one)
	done(n)
}

// lock has one name that all lock, each with a session.
func lock() {
	client := connect()
	sessions := make([]*concurrency.Session, callers)
	for caller := range sessions {
		session, err := concurrency.NewSession(client)
		must(err)
		sessions[caller] = session
	}
	warmAndRun(func(_, caller int) {
		mutex := concurrency.NewMutex(sessions[caller], "bench/lock")
		must(mutex.Lock(ctx))
		must(mutex.Unlock(ctx))
	})
}

func replay() {
	client := connect()
	get(client)
	ready()
	count := 0
	for response := range client.Watch(ctx, "bench/replay/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		must(response.Err())
		count += len(response.Events)
		if count >= n {
			break
		}
	}
	done(count)
}

// fanout has one watch and one reader for each of `callers` keys, and one writer.
func fanout() {
	client := connect()
	watches := make([]clientv3.WatchChan, callers)
	for number := range watches {
		watches[number] = client.Watch(ctx, key("bench/fan/", number))
	}
	ready()
	var group sync.WaitGroup
	for number := range watches {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			for i := number; i < n; i += callers {
				check(len((<-watches[number]).Events) == 1)
			}
		}(number)
	}
	for i := 0; i < n; i++ {
		_, err := client.Put(ctx, key("bench/fan/", i%callers), value)
		must(err)
	}
	group.Wait()
	done(n)
}

func grant(client *clientv3.Client, ttl int64) {
	share(n, makers, func(_, _ int) {
		lease, err := client.Grant(ctx, ttl)
		must(err)
		answers, err := client.KeepAlive(ctx, lease.ID)
		must(err)
		go func() {
			for range answers {
			}
		}()
	})
}

// watch makes `n` watches with a reader each.
func watch(client *clientv3.Client, prefix string) {
	share(n, makers, func(number, _ int) {
		watch := client.Watch(ctx, key(prefix, number))
		go func() { <-watch }()
	})
}

// events has `callers` watches with a reader each, and events that the server makes: one for each as a warm-up.
func events() {
	client := connect()
	var count, expected atomic.Int64
	all := make(chan struct{})
	for number := 0; number < callers; number++ {
		watch := client.Watch(ctx, key("bench/watched/", number))
		go func() {
			for response := range watch {
				if count.Add(int64(len(response.Events))) == expected.Load() {
					all <- struct{}{}
				}
			}
		}()
	}
	produce := func(total int) {
		for ; total > 0; total -= lump {
			size := int64(total)
			if size > lump {
				size = lump
			}
			count.Store(0)
			expected.Store(size)
			_, err := client.Get(ctx, "bench/events", clientv3.WithLimit(size))
			must(err)
			<-all
		}
	}
	produce(callers)
	ready()
	produce(n)
	done(n)
}

// clients makes `n` clients, each of which has made a call.
func clients() {
	all := make([]*clientv3.Client, n)
	ready()
	share(n, makers, func(number, _ int) {
		all[number] = connect()
		get(all[number])
	})
	made()
	runtime.KeepAlive(all)
}

// idle has `n` watches with a reader each and `n` leases, and nothing to do.
func idle() {
	client := connect()
	ready()
	grant(client, idleTTL)
	watch(client, "bench/idle/")
	made()
}

func parked() {
	client := connect()
	get(client)
	ready()
	for i := 0; i < n; i++ {
		go client.Get(ctx, "bench/parked")
	}
	_, err := client.Get(ctx, "bench/all-parked", clientv3.WithLimit(int64(n)))
	must(err)
	done(n)
}
