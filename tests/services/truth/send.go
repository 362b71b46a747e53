package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// settling is how long the service is left alone before the first request and after the last.
	settling      = 300 * time.Millisecond
	requestsLimit = 2 * time.Minute
)

// sendAll starts the service, sends it the schedule, and writes the answers down.
func sendAll(o options) error {
	delaying, err := listenDelaying()
	if err != nil {
		return err
	}
	defer delaying.Close()
	service, err := start(o, delaying.Addr().String())
	if err != nil {
		return err
	}
	time.Sleep(settling)
	answers, failed := sendSchedule(schedule(o), service.address, kernelDelays{service.process.Process.Pid})
	time.Sleep(settling)
	if err := service.stop(); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return write(filepath.Join(o.out, "truth.jsonl"), answers)
}

// write writes a line for each answer.
func write(path string, answers []Truth) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, answer := range answers {
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
	return os.WriteFile(path, lines.Bytes(), 0o644)
}

// service is the process that is recorded.
type service struct {
	process *exec.Cmd
	input   io.Closer
	address string
}

func start(o options, delaying string) (*service, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process := exec.Command(program, "-serve", delaying, "-out", o.out,
		"-procs", fmt.Sprint(o.procs), fmt.Sprintf("-gc=%t", o.collect))
	process.Stderr = os.Stderr
	input, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		input.Close()
		return nil, fmt.Errorf("the service did not start: %w", process.Wait())
	}
	return &service{process, input, strings.TrimSpace(address)}, nil
}

func (s *service) stop() error {
	s.input.Close()
	return s.process.Wait()
}

// sendSchedule sends each request at its time, whatever became of those before. It returns all answers, or the first
// failure.
func sendSchedule(requests []sent, address string, delays kernelDelays) ([]Truth, error) {
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: helperCount},
		Timeout:   requestsLimit,
	}
	answers, failures := make([]Truth, len(requests)), make([]error, len(requests))
	var group sync.WaitGroup
	begin := time.Now()
	for n, request := range requests {
		group.Add(1)
		time.AfterFunc(time.Until(begin.Add(request.after)), func() {
			defer group.Done()
			before := delays.total()
			answers[n], failures[n] = send(client, address, request)
			answers[n].KernelDelayNs = delays.total() - before
		})
	}
	group.Wait()
	client.CloseIdleConnections()
	for _, failure := range failures {
		if failure != nil {
			return nil, failure
		}
	}
	return answers, nil
}

func send(client *http.Client, address string, asked sent) (truth Truth, err error) {
	vector, err := json.Marshal(asked.steps)
	if err != nil {
		return truth, err
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+address+"/"+asked.path(), nil)
	if err != nil {
		return truth, err
	}
	request.Header.Set(vectorHeader, string(vector))
	answer, err := client.Do(request)
	if err != nil {
		return truth, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, err := io.ReadAll(answer.Body)
		return truth, errors.Join(fmt.Errorf("%s: %s", answer.Status, body), err)
	}
	return truth, json.NewDecoder(answer.Body).Decode(&truth)
}

// path names the longest step and, of those that contend, which one it is: who holds what others wait for is of another
// operation than they are.
func (asked sent) path() string {
	longest := asked.steps[0]
	for _, s := range asked.steps {
		if s.Ns > longest.Ns {
			longest = s
		}
	}
	words := []string{longest.Cause, string(longest.Where)}
	if longest.How != "" {
		words = append(words, string(longest.How))
	}
	if asked.turn > 0 {
		words = append(words, fmt.Sprint(asked.turn))
	}
	return strings.Join(words, "/")
}
