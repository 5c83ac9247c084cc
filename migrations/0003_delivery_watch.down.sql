DROP TABLE delivery_watch;
