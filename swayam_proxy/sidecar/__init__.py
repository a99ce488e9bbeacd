"""The process before one model server: slots, holds and grants; set-up, idling and decommission."""
