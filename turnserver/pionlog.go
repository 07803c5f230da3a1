package turnserver

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs passes on what pion has to say at warning and above, at level Debug:
// pion logs per packet and per client, and what it calls an error is a client's.
type pionLogs struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (p pionLogs) NewLogger(string) logging.LeveledLogger { return pionLog(p) }

type pionLog struct{ log *slog.Logger }

func (pionLog) Trace(string)          {}
func (pionLog) Tracef(string, ...any) {}
func (pionLog) Debug(string)          {}
func (pionLog) Debugf(string, ...any) {}
func (pionLog) Info(string)           {}
func (pionLog) Infof(string, ...any)  {}

func (p pionLog) Warn(msg string)              { p.log.Debug("turn: pion", "message", msg) }
func (p pionLog) Warnf(f string, args ...any)  { p.Warn(fmt.Sprintf(f, args...)) }
func (p pionLog) Error(msg string)             { p.Warn(msg) }
func (p pionLog) Errorf(f string, args ...any) { p.Warn(fmt.Sprintf(f, args...)) }
