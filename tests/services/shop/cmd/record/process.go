package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// shop is a running instance.
type shop struct {
	command  *exec.Cmd
	http     string
	debug    string
	resource map[string]any
}

// startShop starts an instance on free ports, sending OTLP to endpoint, and waits until it is ready. The databases
// come from the environment.
func startShop(ctx context.Context, binary, instance, endpoint string) (*shop, error) {
	command := exec.CommandContext(ctx, binary, "-listen", "127.0.0.1:0", "-debug", "127.0.0.1:0")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopTimeout
	command.Env = append(os.Environ(),
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+endpoint,
		"OTEL_SERVICE_NAME="+serviceName,
		fmt.Sprintf("OTEL_RESOURCE_ATTRIBUTES=service.instance.id=%s,host.name=%s", instance, hostName))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &shop{command: command, resource: map[string]any{
		"service.name":        serviceName,
		"service.instance.id": instance,
		"host.name":           hostName,
		"process.pid":         command.Process.Pid,
	}}
	ready := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(output).ReadString('\n')
		if err == nil {
			_, err = fmt.Sscanf(strings.TrimSpace(line), "shop ready http=%s debug=%s", &s.http, &s.debug)
		}
		ready <- err
	}()
	select {
	case err = <-ready:
	case <-time.After(readyTimeout):
		err = fmt.Errorf("not ready after %v", readyTimeout)
	}
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, fmt.Errorf("starting %s: %w", instance, err)
	}
	return s, nil
}

// stop lets the instance flush its telemetry and waits for its end. Only the first call does anything.
func (s *shop) stop() error {
	if s.command.ProcessState != nil {
		return nil
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.command.Wait()
}

// runLoad drives an instance and returns what load printed.
func runLoad(ctx context.Context, binary string, target *shop, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, binary, append([]string{"-target", "http://" + target.http}, arguments...)...)
	command.Stderr = os.Stderr
	table, err := command.Output()
	if err != nil {
		return string(table), fmt.Errorf("load on %s: %w", target.resource["service.instance.id"], err)
	}
	return string(table), nil
}
