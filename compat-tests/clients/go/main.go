// Runs one scenario with one Go library: PROGRAM franz|sarama|kafka-go BOOTSTRAP SCENARIO [ARGUMENT].
//
// Prints JSON lines, the last with "passed"; exits 0 or 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

const wait = 60 * time.Second

var libraries = map[string]func(bootstrap string) library{
	"franz": openFranz, "sarama": openSarama, "kafka-go": openKafkaGo,
}

func main() {
	name, bootstrap, scenario := os.Args[1], os.Args[2], os.Args[3]
	argument := ""
	if len(os.Args) > 4 {
		argument = os.Args[4]
	}
	say := func(fields map[string]any) {
		fields["client"], fields["scenario"] = name, scenario
		line, _ := json.Marshal(fields)
		fmt.Println(string(line))
	}
	defer func() {
		if failure := recover(); failure != nil {
			say(map[string]any{"passed": false, "error": fmt.Sprint(failure), "trace": string(debug.Stack())})
			os.Exit(1)
		}
		say(map[string]any{"passed": true})
	}()
	open, known := libraries[name]
	check(known, "no library %s", name)
	run, known := scenarios[scenario]
	check(known, "no scenario %s", scenario)
	run(open(bootstrap), say, argument)
}

// check ends the scenario with a message unless the condition holds.
func check(condition bool, format string, facts ...any) {
	if !condition {
		panic(fmt.Sprintf(format, facts...))
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

// eventually asks until the answer is true: metadata may trail behind an admin call.
func eventually(what string, question func() bool) {
	deadline := time.Now().Add(wait)
	for !question() {
		check(time.Now().Before(deadline), "not in time: %s", what)
		time.Sleep(50 * time.Millisecond)
	}
}
